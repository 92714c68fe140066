"""Where a vertebra's body lies: its frame, endplates and footprint, from the vertebra's mask alone.

World coordinates are millimetres (RAS+). A vertebra's own frame is (u right, v anterior, w up, along the mean of the
endplates' normals), its origin in the middle of the body. The spinal canal is the hole in the vertebra's projection
along its axis; the body is what lies before it and is tall enough. This needs no model and no CT.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.errors import InputError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEP = 1.0  # mm between columns of a body's height fields
_REACH = (60.0, 80.0, 42.0)  # mm looked at on each side of the middle, along u, v and w
_TILTS = np.deg2rad(np.arange(-40, 41, 10))  # forward lean of the axis that is tried first
_SIDES = np.deg2rad((-15, 0, 15))  # and lean to the side
_COARSE = 2.0  # mm, grid of that first search
_HOLE = 40.0  # mm², the least canal
_TALL = 0.55  # of the median height; lower columns are processes, not body
_RIM_COLUMNS = 3  # of the footprint, where the body's edge is round: the endplates inside go on there
_LIP = 2  # mm beyond endplates and footprint that still are the body's, where there is bone
_SMOOTH = 1.5  # mm, σ of the height fields' smoothing


class Frame(NamedTuple):
    """A vertebra's own frame: origin (mm, world) and the rotation whose columns are u, v and w."""

    origin: Array
    axes: Array

    def to_own(self, points: Array) -> Array:
        """Turn world points (3, …) into the own frame."""
        return np.tensordot(self.axes.T, points - _column(self.origin, points), 1)

    def to_world(self, points: Array) -> Array:
        """Turn points (3, …) of the own frame into the world's."""
        return np.tensordot(self.axes, points, 1) + _column(self.origin, points)


@dataclass(frozen=True)
class Body:
    """A vertebral body: its frame, and over a lattice of columns (u, v) where its endplates lie.

    Attributes:
        frame: of the vertebra.
        corner: u and v (mm) of the lattice's first column; columns stand `STEP` mm apart.
        footprint: (U, V), which columns belong to the body.
        top: (U, V), w of the upper endplate (mm), continued smoothly beyond the footprint.
        bottom: (U, V), the same of the lower.
        half_width: of the footprint (mm).
        half_depth: of the footprint in the midline (mm); the body's wall lies at v = ±half_depth there.
        canal_depth: front to back (mm) in the midline.
    """

    frame: Frame
    corner: tuple[float, float]
    footprint: Mask
    top: Array
    bottom: Array
    half_width: float
    half_depth: float
    canal_depth: float

    def at(self, field: Array, u: Array, v: Array) -> Array:
        """Interpolate a field of the lattice at (u, v); beyond it the border goes on."""
        where = np.stack([(u - self.corner[0]) / STEP, (v - self.corner[1]) / STEP])
        return ndimage.map_coordinates(field, where, order=1, mode="nearest")

    def inside(self, own: Array) -> Mask:
        """Which points (3, …) of the own frame lie between the endplates, over the footprint, with 2 mm for lips."""
        u, v, w = own
        wide = ndimage.binary_dilation(self.footprint, iterations=_LIP)
        return (
            (self.at(wide.astype(float), u, v) > 0.5)
            & (v > -self.half_depth - 1.0)
            & (w < self.at(self.top, u, v) + _LIP)
            & (w > self.at(self.bottom, u, v) - _LIP)
        )

    @property
    def height(self) -> Array:
        """(U, V), distance of the endplates (mm)."""
        return np.maximum(self.top - self.bottom, 1.0)


class _Section(NamedTuple):
    """What one frame shows: occupancy over (u, v, w), the canal, and the footprint before it."""

    occupancy: Array
    u: Array
    v: Array
    w: Array
    canal: Mask
    wall: float  # v of the canal's front in the midline


def find_body(mask: Mask, affine: Array, where: str) -> Body:
    """Find the body of one vertebra.

    Args:
        mask: (H, W, D), the whole vertebra, arch and processes included.
        affine: (4, 4), voxels to world millimetres.
        where: opens complaints, such as the level.

    Raises:
        InputError: the vertebra encloses no canal or has no body before it, as when a part is missing.
    """
    sampler = _Sampler(mask, affine)
    frame, area = max(((f, _canal_area(sampler, f)) for f in _first_frames(sampler.middle)), key=lambda pair: pair[1])
    if area < _HOLE:
        raise InputError(f"{where}: no spinal canal found in its mask, so no body; give a mask of the whole vertebra")
    for _ in range(3):
        section = _section(sampler, frame, where)
        body = _measure(section, frame, where)
        frame = _upright(body, section)
    return _measure(_section(sampler, frame, where), frame, where)


class _Sampler:
    """Occupancy (0–1) of a mask, linear between voxels, read on a lattice of any frame."""

    def __init__(self, mask: Mask, affine: Array) -> None:
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        self._array = np.pad(mask[box].astype(np.float32), 1)
        self._affine = np.array(affine, dtype=np.float64)
        self._affine[:3, 3] += affine[:3, :3] @ (np.array([part.start for part in box]) - 1)
        self._inverse = np.linalg.inv(self._affine)
        voxels = np.array([axis.mean() for axis in np.nonzero(self._array)])
        self.middle = self._affine[:3, :3] @ voxels + self._affine[:3, 3]

    def __call__(self, frame: Frame, u: Array, v: Array, w: Array) -> Array:
        start = frame.to_world(np.array([u[0], v[0], w[0]]))
        linear = self._inverse[:3, :3] @ frame.axes @ np.diag([u[1] - u[0], v[1] - v[0], w[1] - w[0]])
        offset = self._inverse[:3, :3] @ start + self._inverse[:3, 3]
        shape = (len(u), len(v), len(w))
        return ndimage.affine_transform(self._array, linear, offset, shape, order=1, mode="constant")


def _first_frames(middle: Array) -> list[Frame]:
    return [Frame(middle, _axes(tilt, side)) for tilt, side in itertools.product(_TILTS, _SIDES)]


def _axes(tilt: float, side: float) -> Array:
    """Rotation whose third column leans forward by ``tilt`` and to the right by ``side``."""
    w = np.array([np.tan(side), np.tan(tilt), 1.0])
    return _orthonormal(w, np.array([0.0, 1.0, 0.0]))


def _orthonormal(w: Array, v: Array) -> Array:
    w = w / np.linalg.norm(w)
    u = np.cross(v, w)
    u /= np.linalg.norm(u)
    return np.stack([u, np.cross(w, u), w], axis=1)


def _lattice(step: float) -> tuple[Array, Array, Array]:
    u, v, w = (np.arange(-reach, reach + step / 2, step) for reach in _REACH)
    return u, v, w


def _hole(occupancy: Array) -> Mask:
    """Return the largest enclosed hole of the projection along w."""
    shadow = (occupancy > 0.5).any(axis=2)
    holes, count = ndimage.label(ndimage.binary_fill_holes(shadow) & ~shadow)
    if not count:
        return np.zeros_like(shadow)
    sizes = np.bincount(holes.ravel())
    return holes == 1 + int(np.argmax(sizes[1:]))


def _canal_area(sampler: _Sampler, frame: Frame) -> float:
    return float(_hole(sampler(frame, *_lattice(_COARSE))).sum()) * _COARSE**2


def _section(sampler: _Sampler, frame: Frame, where: str) -> _Section:
    u, v, w = _lattice(STEP)
    occupancy = sampler(frame, u, v, w)
    canal = _hole(occupancy)
    if canal.sum() * STEP**2 < _HOLE:
        raise InputError(f"{where}: no spinal canal found in its mask, so no body; give a mask of the whole vertebra")
    middle = float(u @ canal.sum(axis=1) / canal.sum())
    near = canal[np.abs(u - middle) <= 3]
    fronts = [v[np.flatnonzero(row)[-1]] for row in near if row.any()]
    return _Section(occupancy, u, v, w, canal, float(np.median(fronts)) + STEP / 2)


def _measure(section: _Section, frame: Frame, where: str) -> Body:
    """Read the endplates of the columns before the canal and put the frame's origin into the body's middle."""
    solid = section.occupancy > 0.5
    ahead = np.broadcast_to(section.v >= section.wall, solid.shape[:2])
    height = np.where(ahead, solid.sum(axis=2), 0) * STEP
    typical = float(np.median(height[height > 8])) if (height > 8).any() else 0.0
    footprint = _largest(ndimage.binary_opening(height > _TALL * typical, iterations=3)) if typical else height > 8
    if footprint.sum() * STEP**2 < 200:
        raise InputError(f"{where}: no vertebral body found before the canal; give a mask of the whole vertebra")
    footprint = ndimage.binary_fill_holes(footprint)
    top, bottom = _endplates(section, footprint)
    rows = np.nonzero(footprint)[0]
    midline = float(section.u[rows].mean())
    deep = section.v[np.flatnonzero(footprint[np.abs(section.u - midline) <= 4].mean(axis=0) > 0.5)]
    v_middle = (deep[0] + deep[-1]) / 2
    w_middle = float((top[footprint] + bottom[footprint]).mean() / 2)
    behind = section.canal[np.abs(section.u - midline) <= 4].any(axis=0)
    return Body(
        frame=Frame(frame.to_world(np.array([midline, v_middle, w_middle])), frame.axes),
        corner=(float(section.u[0] - midline), float(section.v[0] - v_middle)),
        footprint=footprint,
        top=top - w_middle,
        bottom=bottom - w_middle,
        half_width=float(np.ptp(section.u[rows]) + STEP) / 2,
        half_depth=float(deep[-1] - deep[0] + STEP) / 2,
        canal_depth=float(behind.sum()) * STEP,
    )


def _endplates(section: _Section, footprint: Mask) -> tuple[Array, Array]:
    """Return w of the upper and lower end of the run of bone through the body's middle, smoothed and continued."""
    occupancy = section.occupancy
    k = int(np.argmax((occupancy > 0.5)[footprint].sum(axis=0)))
    ends = []
    for direction in (1, -1):
        along = occupancy[:, :, k::direction]
        beyond = np.concatenate([along <= 0.5, np.ones_like(along[:, :, :1], bool)], axis=2)
        first = np.clip(np.argmax(beyond, axis=2), 1, along.shape[2] - 1)
        last = np.take_along_axis(along, first[:, :, None] - 1, axis=2)[:, :, 0]
        after = np.take_along_axis(along, first[:, :, None], axis=2)[:, :, 0]
        part = np.clip((last - 0.5) / np.maximum(last - after, 1e-6), 0, 1)
        ends.append(section.w[k] + direction * (first - 1 + part) * STEP)
    good = ndimage.binary_erosion(footprint, iterations=_RIM_COLUMNS) & (occupancy[:, :, k] > 0.5)
    return _continued(ends[0], good), _continued(ends[1], good)


def _continued(field: Array, known: Mask) -> Array:
    """Smooth a field where it is known; elsewhere let it go on as the plane through it plus the nearest departure."""
    where = np.argwhere(known).astype(float)
    terms = np.column_stack([where, np.ones(len(where))])
    values = field[known]
    keep = np.ones(len(values), bool)
    for _ in range(3):
        plane = np.linalg.lstsq(terms[keep], values[keep], rcond=None)[0]
        off = values - terms @ plane
        keep = np.abs(off) < 3 * max(float(np.median(np.abs(off))) * 1.5, 0.5)
    i, j = np.indices(field.shape)
    flat = plane[0] * i + plane[1] * j + plane[2]
    rest = np.where(known, field - flat, 0.0)
    rest = rest[tuple(ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True))]
    return np.asarray(flat + ndimage.gaussian_filter(rest, _SMOOTH / STEP))


def _upright(body: Body, section: _Section) -> Frame:
    """Turn the frame so that w is the mean normal of the endplates and v points from the canal to the body."""
    normals = []
    for field in (body.top, body.bottom):
        where = np.argwhere(body.footprint)
        terms = np.column_stack([where * STEP, np.ones(len(where))])
        slope = np.linalg.lstsq(terms, field[body.footprint], rcond=None)[0]
        normal = np.array([-slope[0], -slope[1], 1.0])
        normals.append(normal / np.linalg.norm(normal))
    canal = np.argwhere(section.canal).mean(axis=0) * STEP + body.corner
    trunk = np.argwhere(body.footprint).mean(axis=0) * STEP + body.corner
    forward = np.array([*(trunk - canal), 0.0])
    axes = _orthonormal(body.frame.axes @ (normals[0] + normals[1]), body.frame.axes @ forward)
    return Frame(body.frame.origin, axes)


def _largest(mask: Mask) -> Mask:
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))


def _column(origin: Array, points: Array) -> Array:
    return origin.reshape(3, *[1] * (points.ndim - 1))
