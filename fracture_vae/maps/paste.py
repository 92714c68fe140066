"""Maps of crops put together into one map on the grid of the scan they were cropped from."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.geometry import CropGeometry, bounding_box, grid_coordinates, index_transform, sample
from fracture_vae.cohort.volumes import Stored, read_stored
from fracture_vae.errors import InputError

_FEATHER_POWER = 4
_LEAST_WEIGHT = 1e-6  # at a crop's border, so that a voxel only one crop covers still gets its value
_SLAB_VOXELS = 4_000_000  # resampled at a time, to bound memory on fine grids


class Pasted(NamedTuple):
    """One map on the source's grid, axes in RAS order; `volumes.write_map` writes it in the source's stored order.

    Attributes:
        array: (H, W, D) float32, 0 where no crop lies.
        valid: (H, W, D) uint8, 1 where a crop lies.
        stored: the source.
    """

    array: NDArray[np.float32]
    valid: NDArray[np.uint8]
    stored: Stored


def paste_into_source(
    maps: Sequence[tuple[NDArray[np.float32], CropGeometry]], source: str | os.PathLike[str]
) -> Pasted:
    """Resample each crop's map linearly onto the source's grid and blend where crops overlap.

    A crop weighs (1 − r)⁴ at a voxel, r being 0 at the crop's centre and 1 at its border (Chebyshev distance). A
    vertebra is thereby shown as its own crop sees it, which is how the model was trained (a neighbour 35 mm away
    weighs 0.04 in a crop of 128 mm), and there is no seam on the way to the next. What a map says of a crop's
    padding, where the scan has no voxels, is left out.

    Args:
        maps: each crop's map, (H, W, D) in RAS order on the crop's grid, with the crop's geometry.
        source: the scan; its voxels are not read.

    Raises:
        InputError: the source's size or affine is not what a crop was taken from.
    """
    stored = read_stored(source)
    total = np.zeros(stored.ras_shape, dtype=np.float32)
    weight = np.zeros(stored.ras_shape, dtype=np.float32)
    for array, geometry in maps:
        check_source(geometry, stored)
        _add(array, geometry, stored.ras_affine, total, weight)
    valid = weight > 0
    np.divide(total, weight, out=total, where=valid)
    return Pasted(total, valid.astype(np.uint8), stored)


def _add(
    array: NDArray[np.float32],
    geometry: CropGeometry,
    source_affine: NDArray[np.float64],
    total: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Add one crop's weighted values and its weights, slab by slab within its bounding box in the source."""
    if array.shape != geometry.shape:
        raise ValueError(f"map of {array.shape} for a crop of {geometry.shape}")
    inside = geometry.inside_source()
    whole = bool(inside.all())
    known = array if whole else array * inside
    to_source = index_transform(geometry.affine, source_affine)
    half_voxel = np.abs(to_source[:3, :3]).sum(axis=1) / 2
    start, stop = bounding_box(to_source, geometry.shape, total.shape, margin=half_voxel + 1)
    to_crop = index_transform(source_affine, geometry.affine)
    to_crop[:3, 3] += to_crop[:3, :3] @ start
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    box_total, box_weight = total[box], weight[box]
    if box_total.size == 0:
        return
    thickness = max(1, _SLAB_VOXELS // (box_total.shape[1] * box_total.shape[2]))
    for first in range(0, box_total.shape[0], thickness):
        slab = slice(first, first + thickness)
        shifted = to_crop.copy()
        shifted[:3, 3] += to_crop[:3, 0] * first
        shape = box_total[slab].shape
        feather = _feather(grid_coordinates(shifted, shape), geometry.shape)
        box_total[slab] += sample(known, shifted, shape) * feather
        box_weight[slab] += feather if whole else sample(inside.astype(np.float32), shifted, shape) * feather


def _feather(coordinates: Sequence[NDArray[np.float64]], shape: Sequence[int]) -> NDArray[np.float32]:
    """Return the weight of a crop of ``shape`` at the given voxel coordinates in it; 0 outside its voxels."""
    halves = [(size - 1) / 2 for size in shape]
    off_centre = [np.abs(axis - half) for axis, half in zip(coordinates, halves, strict=True)]
    closeness = [
        np.where(off <= half + 0.5 + 1e-6, np.maximum(1 - off / max(half, 0.5), 0), -1).astype(np.float32)
        for off, half in zip(off_centre, halves, strict=True)
    ]  # per axis: 1 at the centre, 0 at the border, -1 outside
    least = np.minimum(np.minimum(closeness[0], closeness[1]), closeness[2])
    return np.where(least < 0, np.float32(0), least**_FEATHER_POWER + np.float32(_LEAST_WEIGHT))


def check_source(geometry: CropGeometry, stored: Stored) -> None:
    """Require that ``stored`` is the scan a crop was taken from.

    Raises:
        InputError: when its size or affine differs.
    """
    same = geometry.source_shape == stored.shape and np.allclose(geometry.source_affine, stored.affine, atol=1e-3)
    if not same:
        raise InputError(f"{stored.path}: not the scan the crops came from (its size or affine differs); crop it again")
