"""DICOM series of CT slices: which a folder holds, whether they make a volume, and that volume as NIfTI."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from fracture_vae.errors import InputError
from fracture_vae.files import replacing

_PATIENT, _MODALITY, _IMAGE_TYPE, _NUMBER = "0010|0020", "0008|0060", "0008|0008", "0020|0011"
_POSITION, _ORIENTATION = "0020|0032", "0020|0037"
_FEWEST = 4
"""Slices; a scout has one or two."""
_TILT = 0.5  # degrees between the slices' normal and the way from the first to the last
_UNEVEN = 0.02  # of the median distance of neighbouring slices, but at least
_ROUNDING = 0.02  # mm, as scanners write positions with two or three digits


@dataclass(frozen=True)
class Series:
    """A series as its first file tells it; files from foot to head or as GDCM sorts them."""

    uid: str
    files: tuple[Path, ...]
    patient_id: str
    number: str
    size: tuple[int, int, int]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its preamble, or by its name where it has none."""
    if path.suffix.lower() in (".dcm", ".ima"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def find_series(folder: Path) -> tuple[list[Series], dict[str, str]]:
    """Return the CT series in a folder, and what was passed over (scouts, other modalities) and why."""
    found: list[Series] = []
    passed: dict[str, str] = {}
    with _quiet():
        for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(os.fspath(folder)):
            names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(os.fspath(folder), uid)
            tags = _tags(names[0])
            modality, kind = tags.get(_MODALITY, ""), tags.get(_IMAGE_TYPE, "").upper()
            series = f"{folder} series {tags.get(_NUMBER) or uid} ({len(names)} images)"
            size = _reader(names[0]).GetSize()
            if modality != "CT":
                passed[series] = f"modality {modality or 'unknown'}, not CT"
            elif len(names) == 1 and len(size) > 2 and size[2] > 1:
                passed[series] = "one file of many frames; convert it to NIfTI first, such as with dcm2niix"
            elif "LOCALIZER" in kind or len(names) < _FEWEST:
                passed[series] = "a scout or localiser"
            else:
                found.append(
                    Series(
                        uid,
                        tuple(map(Path, names)),
                        tags.get(_PATIENT, ""),
                        tags.get(_NUMBER, ""),
                        (size[0], size[1], len(names)),
                    )
                )
    return found, passed


def series_files(folder: Path, uid: str) -> list[Path]:
    """Return a series' files in GDCM's order."""
    with _quiet():
        return [Path(name) for name in sitk.ImageSeriesReader.GetGDCMSeriesFileNames(os.fspath(folder), uid)]


def convert(folder: Path, uid: str, target: Path) -> None:
    """Write a series as NIfTI, in HU, in its own orientation and spacing.

    Raises:
        InputError: files that cannot be read, or slices that make no volume: see `check_slices`.
    """
    names = [os.fspath(path) for path in series_files(folder, uid)]
    if not names:
        raise InputError(f"{folder}: series {uid} is no longer there; run again")
    with _quiet():
        tags = [_tags(name) for name in names]
        positions = np.array([_numbers(tag, _POSITION, 3, name) for tag, name in zip(tags, names, strict=True)])
        orientations = np.array([_numbers(tag, _ORIENTATION, 6, name) for tag, name in zip(tags, names, strict=True)])
        gap = check_slices(positions, orientations, f"{folder}: series {tags[0].get(_NUMBER) or uid}")
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(names)
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise InputError(f"{folder}: series {uid} cannot be read; copy or export it again") from error
    across, down = image.GetSpacing()[:2]
    image.SetSpacing((across, down, gap))
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)  # nothing of the patient's header goes into the copy
    with replacing(target) as temporary:
        sitk.WriteImage(image, os.fspath(temporary), useCompression=True)


def check_slices(positions: NDArray[np.float64], orientations: NDArray[np.float64], where: str) -> float:
    """Require that slices lie parallel, straight above each other and evenly spaced.

    Args:
        positions: (n, 3) mm, each slice's corner, in order.
        orientations: (n, 6), each slice's row and column directions.
        where: folder and series, for messages.

    Returns:
        The distance of neighbouring slices, mm.

    Raises:
        InputError: slices of several orientations, twice in one place, tilted (gantry) or unevenly spaced (missing).
    """
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        raise InputError(f"{where}: its slices do not lie parallel; export one orientation only")
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    gaps = np.diff(positions @ normal)
    gap = float(np.median(gaps))
    if (np.abs(gaps) < 1e-3).any():
        index = int(np.flatnonzero(np.abs(gaps) < 1e-3)[0])
        raise InputError(f"{where}: slices {index + 1} and {index + 2} lie in one place; export one phase only")
    way = positions[-1] - positions[0]
    tilt = float(np.degrees(np.arccos(np.clip(abs(way @ normal) / np.linalg.norm(way), 0, 1))))
    if tilt > _TILT:
        raise InputError(f"{where}: gantry tilt of {tilt:.1f}°; resample it to upright slices, such as in 3D Slicer")
    uneven = np.abs(gaps - gap) > max(_UNEVEN * abs(gap), _ROUNDING)
    if uneven.any():
        index = int(np.flatnonzero(uneven)[0])
        raise InputError(
            f"{where}: slices {index + 1} and {index + 2} lie {abs(gaps[index]):.2f} mm apart, the others "
            f"{abs(gap):.2f} mm; slices are missing or uneven: export all of them"
        )
    return abs(float(np.mean(gaps)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ITK's warnings off the terminal while it reads."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _reader(name: str) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetFileName(name)
    reader.LoadPrivateTagsOff()
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{name}: damaged or not DICOM; copy or export it again") from error
    return reader


def _tags(name: str) -> dict[str, str]:
    reader = _reader(name)
    wanted = (_PATIENT, _MODALITY, _IMAGE_TYPE, _NUMBER, _POSITION, _ORIENTATION)
    return {key: reader.GetMetaData(key).strip().strip("\0") for key in wanted if reader.HasMetaDataKey(key)}


def _numbers(tags: dict[str, str], key: str, count: int, name: str) -> Sequence[float]:
    try:
        values = [float(value) for value in tags.get(key, "").split("\\")]
    except ValueError:
        values = []
    if len(values) != count:
        raise InputError(f"{name}: does not say where its slice lies (tag {key}); export the series again")
    return values
