"""Vertebra masks: which map their numbers follow, and one mask from many binary files."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fracture_vae.cohort.inputs import label_numbers
from fracture_vae.cohort.levels import VERSE_NUMBERS
from fracture_vae.cohort.volumes import Volume, read_volume
from fracture_vae.errors import InputError
from fracture_vae.preparation.scan import AUTO, Scan

_CALLED = {"verse": "VerSe's", "totalsegmentator": "TotalSegmentator's"}


class ReadMask(NamedTuple):
    """A vertebra mask, the map its numbers follow and what was decided on the way, one sentence each."""

    volume: Volume
    labels: str
    decided: tuple[str, ...]


class Decision(NamedTuple):
    """``verse``, ``totalsegmentator`` or None where the numbers are no vertebrae's, and why."""

    labels: str | None
    why: str


def which_map(numbers: Sequence[int]) -> Decision:
    """Decide by a mask's numbers alone which map they follow.

    VerSe's end at 28. TotalSegmentator's vertebrae are 26 to 50, among up to 117 organs; of the numbers both maps
    have, 26 to 28 without any of 4 to 24 are TotalSegmentator's S1, L5 and L4, for VerSe's are sacrum, coccyx and
    T13, which no scan shows alone. Numbers up to 3 only are as likely a binary mask or other organs as C1 to C3.

    Args:
        numbers: in the mask, without 0, sorted.
    """
    shown = ", ".join(map(str, numbers[:8])) + (" …" if len(numbers) > 8 else "")
    if not numbers:
        return Decision(None, "the mask is empty")
    if numbers[-1] <= 3:
        return Decision(None, f"numbers {shown} tell no vertebrae apart")
    if numbers[-1] <= 28 and any(4 <= number <= 24 for number in numbers):
        return Decision("verse", f"numbers {shown} are {_CALLED['verse']}")
    if any(26 <= number <= 50 for number in numbers):
        return Decision("totalsegmentator", f"numbers {shown} are {_CALLED['totalsegmentator']}")
    return Decision(None, f"numbers {shown} are vertebrae in neither VerSe's map nor TotalSegmentator's")


def read_mask(scan: Scan) -> ReadMask:
    """Read a scan's vertebra mask and settle which map its numbers follow.

    Raises:
        InputError: an unreadable file, numbers that no map explains, files of structures on different grids.
    """
    if scan.structures:
        return _join(scan)
    assert scan.mask is not None
    volume = read_volume(scan.mask, allow_constant=True)
    if scan.labels != AUTO:
        return ReadMask(volume, scan.labels, ())
    labels, why = which_map(label_numbers(volume))
    if labels is None:
        raise InputError(f"{scan.mask}: {why}; give another mask or say what they are with --labels")
    return ReadMask(volume, labels, (f"its numbers read as {_CALLED[labels]}",))


def _join(scan: Scan) -> ReadMask:
    """Read one file a structure into one mask with VerSe's numbers; where two overlap, the first stays."""
    joined: Volume | None = None
    overlap = 0
    for level, path in scan.structures:
        part = read_volume(path, allow_constant=True)
        if joined is None:
            joined = Volume(np.zeros_like(part.array), part.affine, part.stored._replace(path=path.parent))
        if part.array.shape != joined.array.shape or np.abs(part.affine - joined.affine).max() > 1e-3:
            first = scan.structures[0][1].name
            raise InputError(f"{path}: lies on another grid than {first} in the same folder; segment the CT again")
        inside = part.array > 0
        overlap += int(np.count_nonzero(inside & (joined.array > 0)))
        joined.array[inside & (joined.array == 0)] = VERSE_NUMBERS[level]
    assert joined is not None
    decided = [f"{len(scan.structures)} files of one structure each joined into one mask"]
    if overlap:
        decided.append(f"{overlap} voxels lie in two structures; the first file's counts")
    return ReadMask(joined, "verse", tuple(decided))


def is_vertebra_mask(volume: Volume) -> Decision:
    """Decide as `which_map`; values that are no whole numbers make no vertebra mask."""
    try:
        return which_map(label_numbers(volume))
    except InputError:
        return Decision(None, "its values are no labels")
