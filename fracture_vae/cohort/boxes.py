"""Weak boxes: from a voxel mask, and from one grid to another. Pure functions.

A box counts voxels, upper ends excluded. Voxel n reaches from n − ½ to n + ½, so the box a:b reaches from a − ½ to
b − ½ in continuous voxel coordinates, and what is mapped between grids are its eight corners.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from fracture_vae.cohort.case import Box

SLICES = "slices"
"""Extra column of a cohort: the axial slices a box spans, as ``k0:k1`` (upper end excluded)."""

REACH = 5.0
"""mm; how far beyond its vertebra's own mask an anomaly still belongs to it."""

_SAME = 1e-4  # voxels: a face this close to a border of voxels lies on it, as affines are stored in float32


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box that holds every True voxel of a (H, W, D) mask, or None where there is none."""
    found = ndimage.find_objects(mask.view(np.uint8))
    if not found:
        return None
    i, j, k = found[0]
    return Box((i.start, j.start, k.start), (i.stop, j.stop, k.stop))


def slices_of(box: Box) -> str:
    """Return the range of axial slices of a box in a crop (RAS, so along its last axis), as ``k0:k1``."""
    return f"{box.lower[2]}:{box.upper[2]}"


def belonging(
    truth: NDArray[np.bool_],
    own: NDArray[np.bool_],
    others: NDArray[np.bool_],
    spacing: ArrayLike,
    reach: float = REACH,
) -> NDArray[np.bool_]:
    """Return the part of an anomaly that belongs to a vertebra.

    A voxel of truth belongs to it where its mask is at most ``reach`` mm away and no other vertebra's is nearer. So
    what a fracture pushes out of the mask is kept, and the neighbour's fracture is not.

    Args:
        truth: (H, W, D), the anomalies.
        own: the vertebra.
        others: all other vertebrae.
        spacing: of the grid, mm.
        reach: mm.
    """
    if not truth.any() or not own.any():
        return np.zeros(truth.shape, dtype=bool)
    distance = ndimage.distance_transform_edt(~own, sampling=spacing)
    part = truth & (distance <= reach)
    if part.any() and others.any():
        part &= distance <= ndimage.distance_transform_edt(~others, sampling=spacing)
    return part


def box_to_world(box: Box, affine: Any) -> NDArray[np.float64]:
    """Return the eight corners of a box (8, 3) in world millimetres (RAS+), ``affine`` being its grid's."""
    faces = np.array([box.lower, box.upper], dtype=np.float64) - 0.5
    return np.asarray(apply_affine(affine, _corners(*faces)))


def corners_in_world(lower: Sequence[float], upper: Sequence[float]) -> NDArray[np.float64]:
    """Return the eight corners (8, 3) of the box between two points in world millimetres, in any order."""
    return _corners(np.minimum(lower, upper), np.maximum(lower, upper))


def box_in_grid(corners: NDArray[np.float64], affine: Any, shape: Sequence[int]) -> Box | None:
    """Return the smallest box of a grid's voxels that holds all ``corners``, clipped to the grid.

    Args:
        corners: (8, 3), world millimetres, as `box_to_world` gives.
        affine: (4, 4) of the grid.
        shape: its voxels.

    Returns:
        The box, or None where it lies wholly outside.
    """
    points = apply_affine(np.linalg.inv(affine), corners) + 0.5
    lower = np.clip(np.floor(points.min(axis=0) + _SAME), 0, shape).astype(int).tolist()
    upper = np.clip(np.ceil(points.max(axis=0) - _SAME), 0, shape).astype(int).tolist()
    if any(a >= b for a, b in zip(lower, upper, strict=True)):
        return None
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def _corners(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array(list(product(*zip(lower, upper, strict=True))), dtype=np.float64)
