"""Time from volumes to written error maps, beside the plain MONAI way; and memory over a thousand volumes.

    python -m tools.benchmarks.inference --out inference.json
    python -m tools.benchmarks.inference --memory --out memory.json

Both sides run in turn over the same synthetic 128³ crops on the same disk and start from a checkpoint on disk. MONAI's
side (``monai_inference``) is its ``VQVAE`` with the bundle's channels in fp32, ``Dataset``, ``DataLoader``,
``LoadImaged``, ``SimpleInferer`` and ``SaveImaged``, and writes the residual. Ours is ``fracture-vae infer``: once with
all it writes (four maps, a sidecar and a score each), once with the error map alone. Weights are random on both sides:
they change neither side's arithmetic.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.cohort.synthetic import SyntheticCohort, make_cohort, plan_cohort
from fracture_vae.cohort.volumes import read_volume, write_nifti
from fracture_vae.files import write_text
from fracture_vae.jobs import infer_cases
from fracture_vae.networks import build_network
from fracture_vae.training import best_device
from fracture_vae.training.checkpoints import save
from fracture_vae.training.run_folder import git_revision, versions
from tools.benchmarks import monai_vqvae
from tools.benchmarks.monai_inference import write_residuals
from tools.benchmarks.timing import machine, median_of, ratio

CHANNELS = (32, 64, 128, 256)
MONAI, ALL, ERROR = "MONAI, residual", "fracture-vae infer, all maps", "fracture-vae infer, error map"


def compare(work: Path, spines: int, repeats: int, device: str, workers: int) -> dict[str, Any]:
    """Time both sides; return the timings, how many times faster ours is, and how far its maps are from fp32's."""
    plan = plan_cohort(SyntheticCohort(patients=spines, holdout=0, folds=2, levels=("T12", "L1", "L2")))
    cohort = make_cohort(work / "cohort", plan)
    images = [case.image for case in read_cohort(cohort).cases]
    model, theirs = _checkpoint(work / "ours.pt", (128, 128, 128)), work / "monai.pt"
    torch.save(monai_vqvae.build(CHANNELS, 512, CHANNELS[-1]).state_dict(), theirs)
    settings = {"cohort": str(cohort), "split": "all", "device": device}

    def ours(folder: str, **more: Any) -> None:
        shutil.rmtree(work / folder, ignore_errors=True)
        infer_cases(model, work / folder, {**settings, **more})

    def monai() -> None:
        shutil.rmtree(work / "monai", ignore_errors=True)
        write_residuals(images, theirs, work / "monai", CHANNELS, device, workers)

    times = median_of({MONAI: monai, ALL: partial(ours, "all"), ERROR: partial(ours, "error", maps=["error"])}, repeats)
    for folder, each in (("monai", 1), ("all", 4), ("error", 1)):
        if (found := len(list((work / folder).glob("*.nii.gz")))) != each * len(images):
            raise RuntimeError(f"{folder}: {found} maps of {len(images)} images")
    return {
        "volumes": len(images),
        "size": [128, 128, 128],
        "device": device,
        "monai_workers": workers,
        "timings": {name: timing.record() for name, timing in times.items()},
        "seconds_a_volume": {name: round(timing.median / len(images), 4) for name, timing in times.items()},
        "times_faster_than_monai": {
            name: dict(zip(("median", "min", "max"), map(_short, ratio(times[MONAI], times[name])), strict=True))
            for name in (ALL, ERROR)
        },
        "error_map_minus_fp32": _difference(model, images[:3], work / "all"),
    }


def _short(value: float) -> float:
    return round(value, 3)


def _checkpoint(path: Path, size: Sequence[int]) -> Path:
    """Write the bundle's default network with random weights."""
    torch.manual_seed(0)
    network = build_network(
        name="vqvae", channels=list(CHANNELS), quantizer_options={"num_codes": 512, "dim": CHANNELS[-1]}
    )
    about = {"bundle": "vq3d", "network": network.definition, "size": list(size)}
    save(path, {"network": network.state_dict(), "about": json.dumps(about)})
    return path


def _difference(model: Path, images: Sequence[Path], maps: Path) -> dict[str, float]:
    """Return how far written error maps are from those of the network as trained, in fp32, one case at a time."""
    content = torch.load(model, weights_only=True)
    network = build_network(**json.loads(content["about"])["network"]).eval()
    network.load_state_dict(content["network"])
    differences = []
    for path in images:
        image = torch.from_numpy(read_volume(path).array)[None, None]
        with torch.no_grad():
            expected = (image - network(image)).abs()[0, 0].numpy()
        written = read_volume(maps / path.name.replace(".nii.gz", "_error.nii.gz")).array
        differences.append(np.abs(written - expected))
    return {"mean": float(np.mean(differences)), "max": float(np.max(differences))}


def memory(work: Path, volumes: int, size: int, device: str) -> dict[str, Any]:
    """Run over ``volumes`` volumes of size³ in one inference and return how memory went, in MiB.

    ``growth`` is what is resident when all volumes are written less what was after a fifth of them: by then the
    threads, the caches of the libraries and the allocator have what they keep.
    """
    images = _many(work / "images", volumes, size)
    model = _checkpoint(work / "ours.pt", (size,) * 3)
    samples: list[tuple[int, float]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            samples.append((len(list((work / "maps").glob("*.json"))), _resident()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        infer_cases(model, work / "maps", {"images": images, "device": device})
    finally:
        done.set()
        watcher.join()

    def after(share: float) -> float:
        return min(samples, key=lambda sample: abs(sample[0] - share * volumes))[1]

    tenths = [round(after(tenth / 10), 1) for tenth in range(1, 11)]
    return {
        "volumes": volumes,
        "size": [size] * 3,
        "device": device,
        "resident_after_tenths_mib": tenths,
        "growth_mib": round(tenths[-1] - tenths[1], 1),
        "peak_mib": round(max(rss for _, rss in samples), 1),
    }


def _many(folder: Path, volumes: int, size: int) -> list[str]:
    """Write ``volumes`` files with noise and a bright ball, of which each tenth is new and the rest are links."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    folder.mkdir(parents=True)
    paths = [folder / f"v{index:04d}.nii.gz" for index in range(volumes)]
    for index, path in enumerate(paths):
        if index < 10:
            noise = np.random.default_rng(index).random((size,) * 3)
            array = 0.8 * ((grid**2).sum(0) < 0.5) + 0.2 * noise
            write_nifti(path, array, np.eye(4), descrip="noise and a ball", cal_max=1, dtype=np.uint16, slope=2**-15)
        else:
            os.link(paths[index % 10], path)
    return [str(path) for path in paths]


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def table(figures: dict[str, Any]) -> str:
    """Return the figures as lines to print."""
    if "growth_mib" in figures:
        return (
            f"{figures['volumes']} volumes of {figures['size'][0]}³: resident after each tenth "
            f"{figures['resident_after_tenths_mib']} MiB; growth {figures['growth_mib']} MiB, "
            f"peak {figures['peak_mib']} MiB"
        )
    lines = [f"{figures['volumes']} volumes of 128³ on {figures['device']}"]
    for name, timing in figures["timings"].items():
        faster = figures["times_faster_than_monai"].get(name)
        times = f"{faster['median']:.1f} times faster [{faster['min']:.1f}, {faster['max']:.1f}]" if faster else ""
        lines.append(
            f"{name:30} {figures['seconds_a_volume'][name]:7.3f} s a volume  "
            f"[{timing['min_s']:.1f}, {timing['max_s']:.1f}] s in all, {timing['runs']} runs, "
            f"{timing['cpu_median_s']:.1f} s CPU  {times}"
        )
    difference = figures["error_map_minus_fp32"]
    lines.append(f"error map against fp32, one by one: mean {difference['mean']:.2g}, max {difference['max']:.2g}")
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--memory", "watch_memory", is_flag=True, help="Watch memory instead of time.")
@click.option("--spines", default=8, show_default=True, help="Synthetic spines of three vertebrae to time with.")
@click.option("--repeats", default=5, show_default=True, help="Timed runs of each side, after one that is not timed.")
@click.option("--workers", default=0, show_default=True, help="Processes that read on MONAI's side.")
@click.option("--volumes", default=1000, show_default=True, help="Volumes to watch memory with.")
@click.option("--size", default=48, show_default=True, help="Their edge in voxels.")
@click.option("--device", default=None, help="cpu, cuda, ... [default: the best there is]")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
def main(
    watch_memory: bool, spines: int, repeats: int, workers: int, volumes: int, size: int, device: str | None, out: Path
) -> None:
    chosen = device or str(best_device())
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        figures = (
            memory(work, volumes, size, chosen) if watch_memory else compare(work, spines, repeats, chosen, workers)
        )
    click.echo(table(figures))
    record = {"machine": machine(), "versions": versions(), "git_revision": git_revision()}
    if out:
        write_text(out, json.dumps({**record, **figures}, indent=2) + "\n")
        click.echo(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
