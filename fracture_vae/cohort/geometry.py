"""Where a crop lies in the scan it was taken from, and the resampling between grids."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.errors import InputError

_FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class CropGeometry:
    """What it takes to return from a crop to its source; the ``crop`` column of a cohort as JSON.

    Attributes:
        label: the vertebra's number in the source's mask.
        shape: voxels of the crop, RAS axes.
        affine: (4, 4) rows, voxel of the crop to world millimetres.
        source_shape: voxels of the source along its stored axes.
        source_affine: (4, 4) rows, voxel of the stored source to world millimetres.
        hu_window: the HU that were mapped to 0 and 1.
    """

    label: int
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    source_shape: tuple[int, int, int]
    source_affine: tuple[tuple[float, ...], ...]
    hu_window: tuple[float, float]

    def to_json(self) -> str:
        """Return the JSON of the cohort's ``crop`` column, on one line; every digit is kept."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, where: str = "cohort") -> "CropGeometry":
        """Parse the ``crop`` column; ``where`` (file and row) opens the complaint.

        Raises:
            InputError: it is empty or not what `to_json` writes.
        """
        try:
            content = json.loads(text)
            geometry = cls(
                label=int(content["label"]),
                shape=_triple(content["shape"]),
                affine=_rows(content["affine"]),
                source_shape=_triple(content["source_shape"]),
                source_affine=_rows(content["source_affine"]),
                hu_window=(float(content["hu_window"][0]), float(content["hu_window"][1])),
            )
            for affine in (geometry.affine, geometry.source_affine):
                np.linalg.inv(affine)
        except (ValueError, TypeError, KeyError, IndexError, np.linalg.LinAlgError) as error:
            raise InputError(f"{where}: column 'crop' does not say where the image was cropped; crop again") from error
        return geometry

    def window(self, hu: NDArray[Any]) -> NDArray[np.float32]:
        """Map HU to [0, 1], clipped to the window."""
        low, high = self.hu_window
        return np.clip((hu - low) / (high - low), 0, 1).astype(np.float32)

    def inside_source(self) -> NDArray[np.bool_]:
        """Return, on the crop's grid, where the crop lies within the source's voxels; elsewhere it is padding."""
        return _inside(index_transform(self.affine, self.source_affine), self.shape, self.source_shape)


def centred_affine(centre: Sequence[float], shape: Sequence[int], spacing: float) -> NDArray[np.float64]:
    """Return the affine of a grid along the world's R, A and S whose middle lies at ``centre`` (mm).

    The axes follow the world and not the scan, so that every crop shows the patient as the scanner lay him, R, A
    and S exactly along the array, whatever the tilt of the slices; spacing is the same along all axes (mm).
    """
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = np.asarray(centre) - spacing * (np.asarray(shape) - 1) / 2
    return affine


def index_transform(affine: Any, other_affine: Any) -> NDArray[np.float64]:
    """Return the (4, 4) map from voxels of one grid to voxels of the other.

    Rounded to 1e-9 voxel, so that grids which coincide map exactly and no border plane falls outside by 1e-15.
    """
    return np.round(np.linalg.inv(np.asarray(other_affine)) @ np.asarray(affine), 9)


def grid_coordinates(transform: NDArray[np.float64], shape: Sequence[int]) -> list[NDArray[np.float64]]:
    """Return, for each axis of the other grid, the coordinate of every voxel of a grid of ``shape``.

    The arrays broadcast to ``shape``: axes a coordinate does not depend on have length one, so that in a scan that is
    not oblique a coordinate is a row of numbers and not a volume.
    """
    indices = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return [
        np.asarray(sum((step * index for step, index in zip(row[:3], indices, strict=True) if step), row[3]))
        for row in transform[:3]
    ]


def resample(
    array: NDArray[np.float32],
    affine: NDArray[np.float64],
    target_affine: NDArray[np.float64],
    target_shape: tuple[int, int, int],
    *,
    outside: float,
) -> NDArray[np.float32]:
    """Resample an image linearly onto another grid, smoothed first along axes that lose resolution.

    The Gaussian turns the point spread of the source's spacing into the target's: σ = √(f² − 1) / 2.355 source
    voxels for a spacing ratio f > 1 (Cardoso et al., Scale factor point spread function matching, MICCAI 2015).
    Only the part of the source the target covers is touched.

    Args:
        array: (H, W, D), the source.
        affine: (4, 4) of the source.
        target_affine: (4, 4) of the target.
        target_shape: voxels of the target.
        outside: value where the target reaches beyond the source's voxels (half a voxel beyond their outermost
            centres; in that half the border's value goes on, as in ITK).
    """
    spacing = voxel_sizes(affine)
    ratio = voxel_sizes(target_affine).max() / spacing
    sigma = np.where(ratio > 1.001, np.sqrt(np.maximum(ratio**2 - 1, 0)), 0) / _FWHM_PER_SIGMA
    part, transform = _covered(array, affine, target_affine, target_shape, margin=np.ceil(4 * sigma) + 2)
    if part.size == 0:
        return np.full(target_shape, outside, dtype=np.float32)
    if sigma.any():
        part = ndimage.gaussian_filter(part, sigma, mode="nearest")
    values = sample(part, transform, target_shape)
    values[~_inside(index_transform(target_affine, affine), target_shape, array.shape)] = outside
    return values


def resample_mask(
    mask: NDArray[np.bool_],
    affine: NDArray[np.float64],
    target_affine: NDArray[np.float64],
    target_shape: tuple[int, int, int],
) -> NDArray[np.bool_]:
    """Resample a mask onto another grid by the nearest voxel; False beyond the source."""
    part, transform = _covered(mask, affine, target_affine, target_shape, margin=np.full(3, 2.0))
    if part.size == 0:
        return np.zeros(target_shape, dtype=bool)
    values = sample(part.astype(np.float32), transform, target_shape, order=0) > 0
    return values & _inside(index_transform(target_affine, affine), target_shape, mask.shape)


def sample(
    array: NDArray[np.float32], transform: NDArray[np.float64], shape: tuple[int, int, int], *, order: int = 1
) -> NDArray[np.float32]:
    """Interpolate ``array`` at ``transform`` of every voxel of a grid of ``shape``; beyond it the border goes on."""
    matrix, offset = transform[:3, :3], transform[:3, 3]
    if not matrix[~np.eye(3, dtype=bool)].any():  # grids along the same axes: the same numbers, sooner
        matrix = np.diagonal(matrix)
    return np.asarray(
        ndimage.affine_transform(array, matrix, offset, shape, np.float32, order, mode="nearest", prefilter=False)
    )


def within_reach(mask: NDArray[np.bool_], spacing: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
    """Return where a grid lies in or within ``reach`` mm of a mask (H, W, D) that is not empty.

    Args:
        mask: True at voxels.
        spacing: (3,) of the grid, mm.
        reach: mm, to the nearest voxel's centre.
    """
    margins = np.ceil(reach / spacing).astype(int)  # beyond them nothing is near enough
    found = ndimage.find_objects(mask.view(np.uint8))[0]
    box = tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(found, margins.tolist(), strict=True))
    near = np.zeros(mask.shape, dtype=bool)
    near[box] = ndimage.distance_transform_edt(~mask[box], sampling=spacing) <= reach
    return near


def _covered(
    array: NDArray[Any], affine: Any, target_affine: Any, target_shape: Sequence[int], margin: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Cut the source to what the target covers; return it with the map from target voxels to its voxels."""
    transform = index_transform(target_affine, affine)
    start, stop = bounding_box(transform, target_shape, array.shape, margin)
    shifted = transform.copy()
    shifted[:3, 3] -= start
    return array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))], shifted


def bounding_box(
    transform: NDArray[np.float64], shape: Sequence[int], other_shape: Sequence[int], margin: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return start and stop of the voxels of the other grid that a grid of ``shape`` spans, plus ``margin``."""
    corners = np.stack(np.meshgrid(*[(0, size - 1) for size in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    points = corners @ transform[:3, :3].T + transform[:3, 3]
    start = np.clip(np.floor(points.min(axis=0) - margin), 0, other_shape).astype(np.int64)
    stop = np.clip(np.ceil(points.max(axis=0) + margin) + 1, start, other_shape).astype(np.int64)
    return start, stop


def _inside(transform: NDArray[np.float64], shape: Sequence[int], other_shape: Sequence[int]) -> NDArray[np.bool_]:
    """Return which voxels of a grid of ``shape`` have their centre within the voxels of the other grid."""
    inside = np.ones(shape, dtype=bool)
    for axis, size in zip(grid_coordinates(transform, shape), other_shape, strict=True):
        inside &= (axis >= -0.5 - 1e-6) & (axis <= size - 0.5 + 1e-6)
    return inside


def _triple(values: Any) -> tuple[int, int, int]:
    i, j, k = (int(value) for value in values)
    return i, j, k


def _rows(values: Any) -> tuple[tuple[float, ...], ...]:
    rows = tuple(tuple(float(value) for value in row) for row in values)
    if [len(row) for row in rows] != [4] * 4 or not np.isfinite(rows).all():
        raise ValueError("not a 4 × 4 matrix")
    return rows
