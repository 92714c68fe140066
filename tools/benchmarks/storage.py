"""Compare how a crop can be stored: bytes, time to write and to load, and what rounding costs.

    python -m tools.benchmarks.storage --data DATA [--out storage.json]

Crops of 128³ at 1 mm, HU 0 to 1900 mapped to [0, 1], of two real CTs (DATA/ct_verse014, DATA/ct_totalsegmentator,
L1 to L5 each) and of a synthetic spine (L1 to L3). Loading ends, for all alike, with a float32 array in memory that
has been checked as `cohort.read_volume` checks it (finite, not one value everywhere). `warm` reads a file the system
has in memory; `cold` first asks the system to drop it (posix_fadvise), which says nothing of caches below the system:
take it for a lower bound of what a slow disk costs. Blosc2 is measured where the package is installed
(``pip install fracture-vae[bench]``), with one thread.
"""

import gzip
import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.crop import IMAGE_STEP
from fracture_vae.cohort.geometry import centred_affine, resample
from fracture_vae.cohort.levels import label_map
from fracture_vae.cohort.phantom import simulate_spine
from fracture_vae.cohort.volumes import read_volume, write_nifti
from fracture_vae.errors import InputError
from fracture_vae.files import write_text
from tools.benchmarks.timing import machine

SIZE, SPACING, WINDOW_HU = (128, 128, 128), 1.0, (0.0, 1900.0)
LUMBAR = ("L1", "L2", "L3", "L4", "L5")
REAL = {
    "ct_verse014": ("sub-verse014_ct.nii.gz", "sub-verse014_seg-vert_msk.nii.gz", "verse"),
    "ct_totalsegmentator": ("example_ct.nii.gz", "spine_totalseg.nii.gz", "totalsegmentator"),
}
PHANTOM_LEVELS = ("L1", "L2", "L3")

Crop = NDArray[np.float32]


class Format(NamedTuple):
    """One way to store a crop: the file's suffix, how it is written and how it is read back to float32."""

    suffix: str
    write: Callable[[Path, Crop], None]
    read: Callable[[Path], Crop]


class Timing(NamedTuple):
    """Seconds over all crops and repeats: median, first and third quartile."""

    median: float
    low: float
    high: float


class Times(NamedTuple):
    """All seconds taken."""

    write: list[float]
    warm: list[float]
    cold: list[float]


class Measured(NamedTuple):
    """What one format costs on one source's crops."""

    crops: int
    loads: int
    megabytes: float
    write: Timing
    warm: Timing
    cold: Timing
    max_error_hu: float


def formats() -> dict[str, Format]:
    """Return the candidates by name; Blosc2's only where the package is there."""
    found = {
        ".nii uint16": Format(".nii", _write_nii, _read),
        **{f".nii.gz uint16, level {level}": Format(".nii.gz", _writer_gz(level), _read) for level in (1, 6, 9)},
        ".npy float32": Format(".npy", lambda path, crop: np.save(path, crop), _read),
        ".npy float16": Format(".npy", lambda path, crop: np.save(path, crop.astype(np.float16)), _read),
        ".npy uint16": Format(".npy", lambda path, crop: np.save(path, _steps(crop)), _read_scaled),
    }
    if importlib.util.find_spec("blosc2") is None:
        return found
    return {
        **found,
        "blosc2 uint16, lz4": Format(".b2nd", _writer_blosc("LZ4"), _read_blosc),
        "blosc2 uint16, zstd": Format(".b2nd", _writer_blosc("ZSTD"), _read_blosc),
    }


def crops(data: Path) -> dict[str, list[Crop]]:
    """Return the crops of each source, before any rounding.

    Raises:
        InputError: the real CTs are not in ``data``.
    """
    found = {}
    for name, (ct_name, mask_name, labels) in REAL.items():
        ct = read_volume(data / name / ct_name)
        mask = read_volume(data / name / mask_name, allow_constant=True)
        number = {level: label for label, level in label_map(labels).items()}
        found[name] = [_crop(ct.array, mask.array == number[level], ct.affine) for level in LUMBAR]
    phantom = simulate_spine(0, PHANTOM_LEVELS)
    numbers = np.unique(phantom.mask)[1:]
    found["phantom"] = [_crop(phantom.ct, phantom.mask == number, phantom.affine) for number in numbers]
    return found


def measure(forms: Mapping[str, Format], arrays: Sequence[Crop], folder: Path, repeats: int) -> dict[str, Measured]:
    """Write and load every crop ``repeats`` times with every format; errors are against the crop before any rounding.

    Formats take turns within each repeat, so that whatever else the machine does falls on all of them.
    """
    times = {name: Times([], [], []) for name in forms}
    for _ in range(repeats):
        for index, crop in enumerate(arrays):
            for path, name, form in _files(forms, folder, index):
                path.unlink(missing_ok=True)
                times[name].write.append(_seconds(form.write, path, crop))
                _drop(path)
                times[name].cold.append(_seconds(form.read, path))
                times[name].warm.append(_seconds(form.read, path))
    sizes: dict[str, list[int]] = {name: [] for name in forms}
    errors: dict[str, list[float]] = {name: [] for name in forms}
    for index, crop in enumerate(arrays):
        for path, name, form in _files(forms, folder, index):
            sizes[name].append(path.stat().st_size)
            errors[name].append(float(np.abs(form.read(path) - crop).max()) * (WINDOW_HU[1] - WINDOW_HU[0]))
            path.unlink()
    return {
        name: Measured(
            crops=len(arrays),
            loads=len(took.warm),
            megabytes=statistics.mean(sizes[name]) / 1e6,
            write=_timing(took.write),
            warm=_timing(took.warm),
            cold=_timing(took.cold),
            max_error_hu=max(errors[name]),
        )
        for name, took in times.items()
    }


def _files(forms: Mapping[str, Format], folder: Path, index: int) -> list[tuple[Path, str, Format]]:
    return [
        (folder / f"{index}-{number}{form.suffix}", name, form) for number, (name, form) in enumerate(forms.items())
    ]


def table(results: Mapping[str, Mapping[str, Measured]]) -> str:
    """Return the results as a Markdown table, a row a format; times are over the crops of all sources."""
    sources = list(next(iter(results.values())))
    lines = [
        "| format | "
        + " | ".join(f"MB, {source}" for source in sources)
        + " | load warm, ms | load cold, ms | write, ms"
        " | largest error, HU |",
        "| --- |" + " --- |" * (len(sources) + 4),
    ]
    for name, by_source in results.items():
        cells = [f"{by_source[source].megabytes:.2f}" for source in sources]
        for kind in ("warm", "cold", "write"):
            timings = [getattr(measured, kind) for measured in by_source.values()]
            low, high = min(t.median for t in timings), max(t.median for t in timings)
            cells.append(f"{1000 * low:.0f}–{1000 * high:.0f}")
        cells.append(f"{max(measured.max_error_hu for measured in by_source.values()):.2g}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _crop(ct: NDArray[np.float32], own: NDArray[np.bool_], affine: NDArray[np.float64]) -> Crop:
    centre = affine[:3, :3] @ np.array([axis.mean() for axis in np.nonzero(own)]) + affine[:3, 3]
    target = centred_affine(centre.tolist(), SIZE, SPACING)
    low, high = WINDOW_HU
    hu = resample(np.asarray(ct, np.float32), affine, target, SIZE, outside=low)
    return np.clip((hu - low) / (high - low), 0, 1).astype(np.float32)


def _steps(crop: Crop) -> NDArray[np.uint16]:
    return np.rint(crop / IMAGE_STEP).astype(np.uint16)


def _write_nii(path: Path, crop: Crop) -> None:
    write_nifti(path, crop, np.eye(4), descrip="crop", cal_max=1, dtype=np.uint16, slope=IMAGE_STEP)


def _writer_gz(level: int) -> Callable[[Path, Crop], None]:
    def write(path: Path, crop: Crop) -> None:
        image = nib.Nifti1Image(_steps(crop), np.eye(4))
        image.header.set_slope_inter(IMAGE_STEP, 0.0)
        path.write_bytes(gzip.compress(image.to_bytes(), level))

    return write


def _writer_blosc(codec: str) -> Callable[[Path, Crop], None]:
    def write(path: Path, crop: Crop) -> None:
        import blosc2

        settings = {"codec": blosc2.Codec[codec], "clevel": 5, "filters": [blosc2.Filter.BITSHUFFLE], "nthreads": 1}
        blosc2.asarray(_steps(crop), urlpath=str(path), mode="w", cparams=settings)

    return write


def _read(path: Path) -> Crop:
    return read_volume(path).array


def _read_scaled(path: Path) -> Crop:
    return _checked(np.load(path, allow_pickle=False))


def _read_blosc(path: Path) -> Crop:
    import blosc2

    return _checked(blosc2.open(str(path), mode="r", dparams={"nthreads": 1})[:])


def _checked(steps: NDArray[np.uint16]) -> Crop:
    """Scale to float32 and check as `read_volume` does."""
    crop = steps.astype(np.float32) * np.float32(IMAGE_STEP)
    if not np.isfinite(crop).all() or crop.min() == crop.max():
        raise InputError("not an image")
    return crop


def _seconds(work: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def _drop(path: Path) -> None:
    """Write a file through to the disk and ask the system to forget what it holds of it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _timing(values: Sequence[float]) -> Timing:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Timing(median, low, high)


def _context() -> dict[str, Any]:
    packages = {"numpy": np.__version__, "nibabel": nib.__version__}
    if importlib.util.find_spec("blosc2") is not None:
        import blosc2

        packages["blosc2"] = blosc2.__version__
    return {
        "machine": machine(),
        "versions": {"python": platform.python_version(), **packages},
        "crop": {"size": SIZE, "spacing_mm": SPACING, "window_hu": WINDOW_HU},
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder that holds the two real CTs.")
@click.option("--repeats", default=7, show_default=True, type=click.IntRange(min=5), help="Of each crop.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("storage.json"), show_default=True)
def main(data: Path, repeats: int, out: Path) -> None:
    """Compare how a crop can be stored."""
    sources = crops(data)
    by_source: dict[str, dict[str, Measured]] = {}
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as folder:  # on the disk, not in a tmpfs
        for source, arrays in sources.items():
            by_source[source] = measure(formats(), arrays, Path(folder), repeats)
    results = {name: {source: found[name] for source, found in by_source.items()} for name in formats()}
    plain = {
        name: {
            source: {
                **measured._asdict(),
                **{kind: getattr(measured, kind)._asdict() for kind in ("write", "warm", "cold")},
            }
            for source, measured in row.items()
        }
        for name, row in results.items()
    }
    write_text(out, json.dumps({**_context(), "repeats": repeats, "results": plain}, indent=2) + "\n")
    click.echo(table(results))


if __name__ == "__main__":
    main()
