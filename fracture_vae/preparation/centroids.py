"""Vertebra centroids as VerSe publishes them, in world millimetres."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from fracture_vae.cohort.levels import VERSE
from fracture_vae.cohort.volumes import Volume
from fracture_vae.errors import InputError

World = tuple[float, float, float]


def read_centroids(path: Path, mask: Volume, levels: Mapping[str, int]) -> dict[str, World]:
    """Read a VerSe centroid file: ``[{"direction": ["P", "I", "R"]}, {"label": 20, "X": …, "Y": …, "Z": …}, …]``.

    X, Y and Z count along the axes of an image stored in ``direction``; without it, of the file itself. They are
    voxels in some releases and millimetres in others, which the files do not say: taken is what puts more of them
    into the mask of their vertebra, voxels where both do as well.

    Args:
        path: the file; labels are VerSe's numbers, whatever the mask's are.
        mask: the vertebra mask.
        levels: by level, its number in the mask.

    Returns:
        By level, x, y, z in world mm (RAS+); labels that are no level are left out.

    Raises:
        InputError: no such JSON.
    """
    direction, points = _parse(path)
    if not points:
        return {}
    stored = mask.stored
    orientation = axcodes2ornt(direction) if direction else stored.orientation
    turn = ornt_transform(stored.orientation, orientation)
    to_world = stored.affine @ inv_ornt_aff(turn, stored.shape)
    names = list(points)
    given = np.array([points[name] for name in names], dtype=np.float64)
    in_voxels, in_mm = (apply_affine(to_world, values) for values in (given, given / voxel_sizes(to_world)))
    chosen = max((in_voxels, in_mm), key=lambda world: _hits(zip(names, world, strict=True), mask, levels))
    return {name: (float(x), float(y), float(z)) for name, (x, y, z) in zip(names, chosen, strict=True)}


def inside(point: Iterable[float], mask: Volume, number: int) -> bool:
    """Whether a point (world mm) lies in the voxels of ``number``."""
    index = np.rint(apply_affine(np.linalg.inv(mask.affine), [*point])).astype(int)
    if (index < 0).any() or (index >= mask.array.shape).any():
        return False
    return bool(mask.array[tuple(index)] == number)


def _hits(points: Iterable[tuple[str, Any]], mask: Volume, levels: Mapping[str, int]) -> int:
    return sum(inside(point, mask, levels[name]) for name, point in points if name in levels)


def _parse(path: Path) -> tuple[list[str] | None, dict[str, list[float]]]:
    complaint = f"{path}: not a VerSe centroid file (a list of direction and label, X, Y, Z); repair or remove it"
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
        direction = next((list(entry["direction"]) for entry in entries if "direction" in entry), None)
        points = {
            VERSE[int(entry["label"])]: [float(entry[axis]) for axis in "XYZ"]
            for entry in entries
            if int(entry.get("label", 0)) in VERSE
        }
        if direction is not None and sorted("RASLPI".index(axis) % 3 for axis in direction) != [0, 1, 2]:
            raise ValueError(direction)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(complaint) from error
    if not np.isfinite(list(points.values())).all():
        raise InputError(complaint)
    return direction, points
