"""Weak boxes that people drew on whole scans, brought into the crops."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.boxes import SLICES, box_in_grid, box_to_world, corners_in_world, slices_of
from fracture_vae.cohort.case import Box, Case
from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.manifest import read_table
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError, nearest

VOXELS = ("i0", "i1", "j0", "j1", "k0", "k1")
MM = ("x0", "x1", "y0", "y1", "z0", "z1")
_SPACES = {"voxel": VOXELS, "mm": MM}


class DrawnBox(NamedTuple):
    """One row of a table of boxes.

    Attributes:
        where: file and row.
        patient_id, level, scan: whose box it is, as far as the row says.
        space: ``voxel`` (of the scan's file, upper ends excluded) or ``mm`` (world, RAS+).
        lower, upper: its ends in that space.
    """

    where: str
    patient_id: str
    level: str
    scan: str
    space: str
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]

    def corners(self, geometry: CropGeometry) -> NDArray[np.float64]:
        """Return its eight corners in world mm; voxels are those of the file the crop was cut from."""
        if self.space == "mm":
            return corners_in_world(self.lower, self.upper)
        (i0, j0, k0), (i1, j1, k1) = self.lower, self.upper
        return box_to_world(Box((int(i0), int(j0), int(k0)), (int(i1), int(j1), int(k1))), geometry.source_affine)


def read_boxes(file: Path) -> list[DrawnBox]:
    """Read a table of boxes: ``patient_id, level`` or ``scan``, and ``i0 … k1`` in voxels or ``x0 … z1`` in mm.

    Where the table has both, a column ``space`` (voxel or mm) says which of them a row means.

    Raises:
        InputError: a missing column, a value that is no number, an empty box; the message names the row.
    """
    records = read_table(file, ())
    header = records[0][1]
    if "scan" not in header and not {"patient_id", "level"} <= set(header):
        raise InputError(f"{file}: boxes of which vertebra? Name the columns patient_id and level, or scan")
    there = [space for space, columns in _SPACES.items() if set(columns) <= set(header)]
    if not there:
        raise InputError(f"{file}: no box columns; name {','.join(VOXELS)} (voxels) or {','.join(MM)} (world mm)")
    if len(there) == 2 and "space" not in header:
        raise InputError(f"{file}: boxes in voxels and in mm; add a column 'space' that says voxel or mm")
    return [_drawn(fields, there, f"{file}: row {row}") for row, fields in records]


class Boxed(NamedTuple):
    """Cases with their boxes, and the rows that could not be used, to why."""

    cases: list[Case]
    failed: dict[str, str]


def join_boxes(cases: Sequence[Case], boxes: Sequence[DrawnBox]) -> Boxed:
    """Fill box and slices of the crops the rows are about, and their label where it was unknown: 1, abnormal.

    A row is about the crop of its patient and level; one that names only a scan is about the vertebra with most of
    its own mask in the box. The eight corners are mapped by the affines and the box around them is clipped to the
    crop.
    """
    by_id = {case.case_id: case for case in cases}
    failed: dict[str, str] = {}
    used: dict[str, str] = {}
    for drawn in boxes:
        try:
            case = _whose(drawn, list(by_id.values()))
            if case.case_id in used:
                raise InputError(f"a second box of {case.case_id} ({used[case.case_id]} has the first); keep one")
            if case.label == 0:
                raise InputError(f"a box of {case.case_id}, whose label is 0 (normal); correct one")
            by_id[case.case_id] = _with_box(case, drawn)
            used[case.case_id] = drawn.where.rpartition(": ")[2]
        except InputError as error:
            failed[drawn.where] = str(error)
    return Boxed([by_id[case.case_id] for case in cases], failed)


def scan_of(case: Case) -> str:
    """Return the name of the scan a case was cut from."""
    return case.case_id.removesuffix(f"_{case.level}")


def _with_box(case: Case, drawn: DrawnBox) -> Case:
    box = _in_crop(case, drawn)
    if box is None:
        raise InputError(f"its box lies outside the crop {case.case_id}; check the numbers and their space")
    return replace(case, box=box, label=1, extra={**case.extra, SLICES: slices_of(box)})


def _in_crop(case: Case, drawn: DrawnBox) -> Box | None:
    geometry = CropGeometry.from_json(case.crop, case.case_id)
    return box_in_grid(drawn.corners(geometry), geometry.affine, geometry.shape)


def _whose(drawn: DrawnBox, cases: Sequence[Case]) -> Case:
    cases = [case for case in cases if case.crop]
    for value, name_of in ((drawn.scan, scan_of), (drawn.patient_id, _patient_of), (drawn.level, _level_of)):
        cases = _having(cases, value, name_of)
    if len(cases) == 1:
        return cases[0]
    scans = sorted({scan_of(case) for case in cases})
    if len(scans) > 1:
        raise InputError(f"{len(scans)} scans ({', '.join(scans[:3])}) have it; add a column 'scan'")
    held = {case.case_id: _held(case, drawn) for case in cases}
    best = max(cases, key=lambda case: held[case.case_id])
    if not held[best.case_id]:
        raise InputError(f"its box holds nothing of any vertebra of {scans[0]}; check the numbers and their space")
    return best


def _having(cases: Sequence[Case], value: str, name_of: Callable[[Case], str]) -> list[Case]:
    found = [case for case in cases if name_of(case) == value] if value else list(cases)
    if not found:
        known = sorted({name_of(case) for case in cases})
        raise InputError(f"no crop is of '{value}'{nearest(value, known)}; correct it")
    return found


def _patient_of(case: Case) -> str:
    return case.patient_id


def _level_of(case: Case) -> str:
    return case.level


def _held(case: Case, drawn: DrawnBox) -> int:
    """Return how many voxels of the case's own vertebra a box holds."""
    box = _in_crop(case, drawn)
    if box is None or case.vertebra_mask is None:
        return 0
    return int(np.count_nonzero(read_volume(case.vertebra_mask, allow_constant=True).array[box.slices]))


def _drawn(fields: Mapping[str, str], there: Sequence[str], where: str) -> DrawnBox:
    values = {name: value.strip() for name, value in fields.items()}
    space = values.get("space", "").lower() or there[0]
    if space not in there:
        raise InputError(f"{where}: space is '{space}'; the columns hold {' and '.join(there)}")
    if len(there) == 2 and not values.get("space"):
        raise InputError(f"{where}: space is empty; write voxel or mm")
    try:
        numbers = [float(values[name]) for name in _SPACES[space]]
    except ValueError as error:
        raise InputError(f"{where}: the box has an end that is no number; fill {','.join(_SPACES[space])}") from error
    lower, upper = numbers[0::2], numbers[1::2]
    whole = space == "mm" or all(number.is_integer() for number in numbers)
    if not np.isfinite(numbers).all() or not whole or any(a >= b for a, b in zip(lower, upper, strict=True)):
        kind = "whole numbers, " if space == "voxel" else ""
        raise InputError(f"{where}: its box is empty or no box; give {kind}each upper end above the lower one")
    if not values.get("scan") and not (values.get("patient_id") and values.get("level")):
        raise InputError(f"{where}: does not say which vertebra; fill patient_id and level, or scan")
    return DrawnBox(
        where,
        values.get("patient_id", ""),
        values.get("level", ""),
        values.get("scan", ""),
        space,
        (lower[0], lower[1], lower[2]),
        (upper[0], upper[1], upper[2]),
    )
