"""One picture of one scan: the whole spine in a sagittal and a coronal plane that follow it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.volumes import Volume
from fracture_vae.files import replacing
from fracture_vae.preparation.finding import Finding
from fracture_vae.preparation.vertebra import Vertebra, measure

WINDOW_HU = (-300.0, 1000.0)
"""Bone window: level 350, width 1300."""
PLAIN, AFFECTED = "#58c4dd", "#ff9f1c"
PIXELS_PER_MM = 2.5
_MARGIN_MM = 25.0  # of image beyond the labelled vertebrae
_SIDE_MM = 35.0  # of image beside them, where the labels stand
_MIN_HEIGHT_MM = 150.0
_BAR_MM = 50
_DPI = 100
_TEXT = 12  # pixels that a name needs above and below its middle


class _Plane(NamedTuple):
    """A curved plane unrolled at `PIXELS_PER_MM`: rows from head to foot, columns from left to right of the picture.

    Attributes:
        image: (rows, columns) HU; NaN beyond the scan.
        outlines: by level, (rows, columns) from 0 to 1, above a half inside the vertebra.
        middle: by level, row and column of the vertebra's body, which may lie off the plane or even beyond it.
    """

    image: NDArray[np.float32]
    outlines: dict[str, NDArray[np.float32]]
    middle: dict[str, tuple[float, float]]


def draw_sheet(
    path: str | os.PathLike[str],
    title: str,
    ct: Volume,
    mask: Volume,
    levels: Mapping[str, int],
    findings: Sequence[Finding],
) -> None:
    """Draw a scan's spine as a PNG: on the left in the sagittal plane through the bodies, on the right coronally.

    Both planes follow the spine's curve, slice by slice, and are drawn to scale. Each vertebra has its outline and its
    name beside it; those with a finding in another colour. The sagittal view looks from the patient's left (front on
    the left), the coronal one from the front (the patient's right on the left).

    Args:
        path: the picture; written whole or not at all.
        title: what stands above it.
        ct: in HU.
        mask: vertebra numbers on the CT's grid.
        levels: by level, its number in the mask.
        findings: this scan's.
    """
    vertebrae = measure(mask, levels)
    affected = {finding.level for finding in findings}
    sagittal, coronal = _planes(ct, vertebrae)
    height, width = sagittal.image.shape[0], sagittal.image.shape[1] + coronal.image.shape[1]
    gap, head = 12, 44
    size = ((width + gap) / _DPI, (height + head) / _DPI)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="black")
    left = 0.0
    for plane, sides in ((sagittal, "AP"), (coronal, "RL")):
        share = plane.image.shape[1] / (width + gap)
        axes = figure.add_axes((left, 0.0, share, height / (height + head)))
        _draw(axes, plane, affected, sides, labels_left=plane is sagittal)
        left += share + gap / (width + gap)
    figure.text(0.01, 1 - 6 / (height + head), title, color="white", fontsize=11, va="top", parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, facecolor="black")


def _planes(ct: Volume, vertebrae: Sequence[Vertebra]) -> tuple[_Plane, _Plane]:
    """Sample the sagittal and the coronal plane that follow the vertebral bodies."""
    spacing = voxel_sizes(ct.affine)
    bodies = {vertebra.level: _body(vertebra) for vertebra in vertebrae}
    spine = np.array(sorted((bodies[vertebra.level] for vertebra in _whole(vertebrae)), key=lambda body: body[2]))
    low = np.min([[side.start for side in vertebra.box] for vertebra in vertebrae], axis=0)
    high = np.max([[side.stop for side in vertebra.box] for vertebra in vertebrae], axis=0) - 1
    short = max(_MIN_HEIGHT_MM - (high[2] - low[2]) * spacing[2] - 2 * _MARGIN_MM, 0) / 2
    rows = _range(low[2], high[2], _MARGIN_MM + short, spacing[2], ct.array.shape[2])
    right, front = (_range(low[axis], high[axis], _SIDE_MM, spacing[axis], None) for axis in (0, 1))
    i, j = (np.interp(rows, spine[:, 2], spine[:, axis])[:, None] for axis in (0, 1))
    return (
        _sample(ct, vertebrae, (i, front[None], rows[:, None]), _places(bodies, rows, front, 1)),
        _sample(ct, vertebrae, (right[None], j, rows[:, None]), _places(bodies, rows, right, 0)),
    )


def _whole(vertebrae: Sequence[Vertebra]) -> Sequence[Vertebra]:
    """Return the vertebrae that have a body: fragments, below half the median volume, would bend the plane."""
    middle = float(np.median([vertebra.mm3 for vertebra in vertebrae]))
    return [vertebra for vertebra in vertebrae if vertebra.mm3 > middle / 2]


def _body(vertebra: Vertebra) -> tuple[float, float, float]:
    """Return a voxel in the vertebral body: medians of the vertebra's front, its 70th percentile towards A."""
    voxels = np.argwhere(vertebra.own) + [side.start for side in vertebra.box]
    front = voxels[voxels[:, 1] >= np.percentile(voxels[:, 1], 55)]
    return float(np.median(front[:, 0])), float(np.percentile(voxels[:, 1], 70)), float(np.median(front[:, 2]))


def _range(low: float, high: float, margin: float, spacing: float, size: int | None) -> NDArray[np.float64]:
    """Return voxel coordinates, falling, a pixel apart, from ``margin`` mm above to ``margin`` mm below.

    Falling, so that the head is at the top, and the patient's front and right are on the left. With ``size`` they end
    at the scan's borders.
    """
    start, stop = high + margin / spacing, low - margin / spacing
    if size is not None:
        start, stop = min(start, size - 0.5), max(stop, -0.5)
    return np.arange(start, stop, -1 / (PIXELS_PER_MM * spacing))


def _places(
    bodies: Mapping[str, tuple[float, float, float]],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    axis: int,
) -> dict[str, tuple[float, float]]:
    """Return row and column of each body in a plane whose rows and columns are these voxel coordinates."""
    return {
        level: (
            float(np.argmin(np.abs(rows - body[2]))),
            float(np.argmin(np.abs(columns - body[axis]))),
        )
        for level, body in bodies.items()
    }


def _sample(
    ct: Volume,
    vertebrae: Sequence[Vertebra],
    at: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    middle: dict[str, tuple[float, float]],
) -> _Plane:
    points = np.broadcast_arrays(*at)
    size = np.array(ct.array.shape)[:, None, None]
    beyond = ((np.stack(points) < -0.5) | (np.stack(points) > size - 0.5)).any(axis=0)
    image = ndimage.map_coordinates(ct.array, points, order=1, mode="nearest")
    image[beyond] = np.nan
    outlines = {}
    for vertebra in vertebrae:
        own = np.pad(vertebra.own, 1).astype(np.float32)
        inside = [axis - side.start + 1 for axis, side in zip(points, vertebra.box, strict=True)]
        outlines[vertebra.level] = ndimage.map_coordinates(own, inside, order=1, mode="constant")
    return _Plane(image, outlines, middle)


def _draw(axes: Any, plane: _Plane, affected: set[str], sides: str, labels_left: bool) -> None:
    """Draw one plane with outlines, names, a scale bar and the letters of its two sides."""
    axes.set_axis_off()
    axes.imshow(plane.image, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect="auto", interpolation="none")
    rows, columns = plane.image.shape
    edge = [withStroke(linewidth=2.5, foreground="black")]
    for level, outline in plane.outlines.items():
        colour = AFFECTED if level in affected else PLAIN
        row, column = plane.middle[level]
        inside = outline > 0.5
        if inside.any():
            axes.contour(outline, [0.5], colors=colour, linewidths=0.9)
            if not inside[int(row)].any():
                row = float(np.median(np.flatnonzero(inside.any(axis=1))))
            seen = np.flatnonzero(inside[max(int(row) - 20, 0) : int(row) + 20].any(axis=0))
            column = float(seen[0] if labels_left else seen[-1])
        elif not labels_left:
            continue
        row = min(max(row, _TEXT), rows - _TEXT)
        column += -10 if labels_left else 10
        axes.text(
            column, row, level, color=colour, fontsize=11, weight="bold", va="center",
            ha="right" if labels_left else "left", path_effects=edge,
        )  # fmt: skip
    for letter, x, ha in ((sides[0], 6, "left"), (sides[1], columns - 6, "right")):
        axes.text(x, 16, letter, color="white", fontsize=12, va="center", ha=ha, path_effects=edge)
    length = _BAR_MM * PIXELS_PER_MM
    shadow = [withStroke(linewidth=4, foreground="black")]
    axes.plot([10, 10 + length], [rows - 12] * 2, color="white", linewidth=2, path_effects=shadow)
    axes.text(10 + length / 2, rows - 18, f"{_BAR_MM} mm", color="white", fontsize=9, ha="center", path_effects=edge)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
