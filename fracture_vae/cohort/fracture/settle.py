"""What a collapse does around its body: the vertebrae above come down and tilt as wholes, the discs take up the rest.

Every piece of the spine has a motion of its own: the broken body its collapse, its arch a small drop, each vertebra
above a rigid motion that follows the broken endplate less with every level, everything below none. All run from
healthy to broken in small steps of time. Within a step the pieces' motions are blended by inverse distance to where
the pieces are at that time, and fade out beside the spine; the steps are composed (the fusion of rigid motions of
Arsigny et al., Polyrigid and polyaffine transformations, Med Image Anal 9(6), 2005, which is invertible however far the
pieces move apart). A piece stays inside its own region of weight one all the way, so it keeps its shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from fracture_vae.cohort.fracture.collapse import Collapse, columns
from fracture_vae.cohort.fracture.frame import Array, Body, Mask
from fracture_vae.cohort.fracture.heights import RIM

FOLLOW = 0.8  # how much of the broken endplate's fall the next vertebra follows
TILT = 0.6  # and of its tilt
FADE = 0.65  # how both fade with every further level
_STILL = 0.09  # what follows less stays where it is
_NEAR, _FAR = 6.0, 40.0  # mm from the moving spine: moves in full, stays in place
_SIDE = 14.0  # mm inside the box within which everything moves in full
_TOUCH = 0.02  # mm, keeps the inverse distance finite
_KEEP = 0.7  # mm around a piece that move with it
_GRISTLE = 1.5  # mm more around the broken body
_ARCH = 5.0  # mm behind the body's back wall where the arch begins
_ARCH_DROP = 0.4  # how much of the back wall's loss the arch comes down
_BONE = 180.0  # HU above which unlabelled tissue on the spine's axis counts as a vertebra's
_LEAST = 400.0  # mm³ of it
_RIND = 1.5  # mm, softness of the body's edge
_STEP = 2.5  # mm between points of the lattice
_TIMES = 8  # steps from healthy to broken


class Rigid(NamedTuple):
    """A rigid motion of points of the own frame over the time 0 to 1: turning about ``hinge`` and moving along w."""

    turn: Array  # rotation vector at time 1
    hinge: Array
    fall: float  # mm at time 1

    def at(self, time: float, points: Array) -> Array:
        """Return where points (3, n) are at a time."""
        turn = Rotation.from_rotvec(time * self.turn).as_matrix()
        return turn @ (points - self.hinge[:, None]) + self._end(time)

    def back(self, time: float, points: Array) -> Array:
        """Return where what is at points (3, n) at a time was at time 0."""
        turn = Rotation.from_rotvec(time * self.turn).as_matrix()
        return turn.T @ (points - self._end(time)) + self.hinge[:, None]

    def _end(self, time: float) -> Array:
        return (self.hinge - np.array([0, 0, time * self.fall]))[:, None]


class Sinking(NamedTuple):
    """The broken body as its surroundings feel it: the endplates move, what lies between them moves in proportion."""

    collapse: Collapse

    def at(self, time: float, points: Array) -> Array:
        """Return where points (3, n) are at a time."""
        return self._moved(points, 0.0, time)

    def back(self, time: float, points: Array) -> Array:
        """Return where what is at points (3, n) at a time was at time 0."""
        return self._moved(points, time, 0.0)

    def _moved(self, points: Array, start: float, end: float) -> Array:
        return np.stack([points[0], points[1], self.collapse.evenly(points, start, end)])


class Piece(NamedTuple):
    """What moves as one: its distance (mm) over the lattice when healthy, and its motion, or None for what stays."""

    distance: Array
    motion: Rigid | Sinking | None


@dataclass(frozen=True)
class Lattice:
    """Points `_STEP` mm apart along the own frame's axes, ``corner`` the first."""

    corner: Array
    shape: tuple[int, int, int]
    low: Array  # of the box outside which nothing moves
    high: Array

    @property
    def end(self) -> Array:
        """The last point."""
        return self.corner + _STEP * (np.array(self.shape) - 1)

    def points(self) -> Array:
        """(3, n)."""
        return np.indices(self.shape).reshape(3, -1) * _STEP + self.corner[:, None]

    def room(self, points: Array) -> Array:
        """How far inside the box points (3, n) lie: 0 at its sides to 1 from `_SIDE` mm on."""
        side = np.minimum(points - self.low[:, None], self.high[:, None] - points).min(axis=0)
        return np.clip(side / _SIDE, 0, 1)

    def read(self, field: Array, points: Array) -> Array:
        """Interpolate a field (of ``shape``) at points (3, …); beyond the lattice its border goes on."""
        index = (points - self.corner.reshape(3, *[1] * (points.ndim - 1))) / _STEP
        return ndimage.map_coordinates(field, index, order=1, mode="nearest")


@dataclass(frozen=True)
class Settling:
    """The backward map around a broken body, on a lattice of its own frame."""

    lattice: Lattice
    way: NDArray[np.float32]  # (3, *lattice.shape), mm by which the settling differs from the body's own squeezing
    distance: Array  # mm from the healthy body
    collapse: Collapse

    def smoothed(self, sigma: float) -> "Settling":
        """Return the same with its lattice smoothed by a Gaussian of ``sigma`` lattice steps."""
        way = ndimage.gaussian_filter(self.way, (0, sigma, sigma, sigma), mode="nearest")
        return replace(self, way=way)

    def source_of(self, own: Array) -> Array:
        """Return where the tissue at points (3, n) of the broken spine's own frame lay before.

        Three invertible maps one after another: sideways, the settling with the body squeezed evenly, and the shift
        of bone within the body's columns.
        """
        own = own - self.collapse.aside(own)
        source = own + np.stack([self.lattice.read(part, own) for part in self.way])
        source[2] += _squeezing(self.collapse, own)
        now = self.collapse.evenly(source, 0.0, 1.0)
        source[2] += self.collapse.crowded(source[0], source[1], now, source[2])
        return source

    def inside(self, source: Array) -> Array:
        """Return how far (0 to 1) points (3, n) that came from ``source`` are in the broken body, soft at its edge."""
        return np.clip(1 - self.lattice.read(self.distance, source) / _RIND, 0, 1)

    def box(self, affine: Array, shape: Sequence[int]) -> tuple[slice, ...]:
        """Return the voxels that the lattice reaches."""
        ends = np.array(np.meshgrid(*zip(self.lattice.corner, self.lattice.end, strict=True))).reshape(3, -1)
        world = self.collapse.body.frame.to_world(ends)
        index = np.linalg.inv(affine)[:3] @ np.vstack([world, np.ones(8)])
        low, high = np.floor(index.min(axis=1)), np.ceil(index.max(axis=1)) + 1
        return tuple(slice(max(int(a), 0), min(int(b), n)) for a, b, n in zip(low, high, shape, strict=True))


def settle(
    collapse: Collapse, ct: NDArray[np.float32], labels: NDArray[np.uint8], number: int, affine: Array
) -> Settling:
    """Return how a collapse moves its surroundings.

    Args:
        collapse: of the vertebra ``number``.
        ct: (H, W, D), HU; shows vertebrae that have no label.
        labels: (H, W, D), vertebra numbers.
        number: the broken one.
        affine: (4, 4), voxels to world millimetres.
    """
    body = collapse.body
    lattice = _lattice(body, labels.shape, affine)
    points = lattice.points()
    index = np.linalg.inv(affine)[:3] @ np.vstack([body.frame.to_world(points), np.ones(points.shape[1])])
    named = ndimage.map_coordinates(labels, index, order=0, mode="constant").reshape(lattice.shape)
    hu = ndimage.map_coordinates(ct, index, order=1, mode="constant", cval=-1000).reshape(lattice.shape)
    found = _pieces(collapse, named, hu, number, points.reshape(3, *lattice.shape))
    distance = found[0].distance
    found[0] = Piece(np.maximum(distance - _GRISTLE, 0), found[0].motion)
    way = _flow(lattice, found, points) - points
    way[2] -= _squeezing(collapse, points)
    return Settling(lattice, way.reshape(3, *lattice.shape).astype(np.float32), distance, collapse)


def _squeezing(collapse: Collapse, own: Array) -> Array:
    """Return the way back (mm along w) of points (3, n) as the body's own even squeezing has it, fading out beside it.

    It has kinks at the endplates that no lattice could hold; the rest of the settling is smooth there.
    """
    return collapse.body.at(collapse.near, own[0], own[1]) * (collapse.evenly(own, 1.0, 0.0) - own[2])


def follow(collapse: Collapse, share: float) -> Rigid:
    """Return the motion of what follows the broken upper endplate by ``share``.

    The endplate's motion is the plane through its rim's: a tilt about a hinge in the middle of the canal, near the
    facet joints, and the fall there is.
    """
    body = collapse.body
    u, v = columns(body)
    rim = body.footprint & (np.hypot(u / body.half_width, v / body.half_depth) > 0.6)
    hinge = -body.half_depth - 0.5 * body.canal_depth
    terms = np.column_stack([u[rim], v[rim] - hinge, np.ones(int(rim.sum()))])
    side, front, fall = np.linalg.lstsq(terms, collapse.upper[rim], rcond=None)[0]
    top = float(body.at(body.top, np.zeros(1), np.full(1, -RIM * body.half_depth))[0])
    turn = share * TILT / FOLLOW * np.arctan(np.array([-front, side, 0.0]))
    return Rigid(turn, np.array([0.0, hinge, top]), share * max(float(fall), 0.0))


def _lattice(body: Body, shape: Sequence[int], affine: Array) -> Lattice:
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    scan = body.frame.to_own((corners @ affine[:3, :3].T + affine[:3, 3]).T)
    top, bottom = float(body.top[body.footprint].max()), float(body.bottom[body.footprint].min())
    low = np.array([-body.half_width - 46, -body.half_depth - 95, bottom - 26])
    high = np.array([body.half_width + 46, body.half_depth + 46, top + 170])
    start, end = np.maximum(low, scan.min(axis=1)), np.minimum(high, scan.max(axis=1))
    count = np.maximum(np.ceil((end - start) / _STEP).astype(int) + 1, 2)
    return Lattice(start, (int(count[0]), int(count[1]), int(count[2])), low, high)


def _pieces(collapse: Collapse, labels: NDArray[np.uint8], hu: Array, number: int, points: Array) -> list[Piece]:
    """Return the broken body, its arch, all other vertebrae, and unlabelled bone on the spine's axis."""
    body = collapse.body
    w = points[2]
    others = {n: float(w[labels == n].mean()) for n in np.unique(labels[labels > 0]).tolist() if n != number}
    above = sorted((n for n in others if others[n] > 0), key=lambda n: others[n])
    below = [n for n in others if others[n] <= 0]
    bone = _unlabelled_bone(hu, labels, body, points)
    masks: list[tuple[Mask, Rigid | Sinking | None]] = []
    own = labels == number
    arch = own & (points[1] < -body.half_depth - _ARCH)
    masks.append((own & body.inside(points), Sinking(collapse)))
    behind = float(body.at(collapse.upper, np.zeros(1), np.full(1, -RIM * body.half_depth))[0])
    masks.append((arch, Rigid(np.zeros(3), np.zeros(3), _ARCH_DROP * behind)))
    share = FOLLOW
    for n in above:
        masks.append((labels == n, follow(collapse, share) if share > _STILL else None))
        share *= FADE
    highest = max((others[n] for n in above), default=0.0)
    masks.append((bone & (w > highest), follow(collapse, share) if share > _STILL else None))
    lowest = min((others[n] for n in below), default=0.0)
    masks.append((np.isin(labels, below) | (bone & (w < lowest)), None))
    return [Piece(_distance(mask), motion) for mask, motion in masks if mask.any()]


def _unlabelled_bone(hu: Array, labels: NDArray[np.uint8], body: Body, points: Array) -> Mask:
    u, v, _ = points
    near = (np.abs(u) < body.half_width + 8) & (v < body.half_depth + 5) & (v > -body.half_depth - 50)
    bone = near & (hu > _BONE) & ~ndimage.binary_dilation(labels > 0)
    parts, _ = ndimage.label(bone)
    sizes = np.bincount(parts.ravel()) * _STEP**3
    sizes[0] = 0
    return sizes[parts] > _LEAST


def _distance(mask: Mask) -> Array:
    """Distance (mm) to a mask's surface, 0 inside; the surface lies half a step beyond the outermost points."""
    return np.maximum(ndimage.distance_transform_edt(~mask, sampling=_STEP) - _STEP / 2, 0)


def _flow(lattice: Lattice, pieces: Sequence[Piece], points: Array) -> Array:
    """Follow the lattice's points from broken back to healthy; return where they end."""
    moved = points.copy()
    active = np.flatnonzero(lattice.room(points) > 0)
    x = points[:, active]
    for step in range(_TIMES, 0, -1):
        now, before = step / _TIMES, (step - 1) / _TIMES
        total, nearest = np.zeros(x.shape[1]), np.full(x.shape[1], np.inf)
        way = np.zeros_like(x)
        for piece in pieces:
            healthy = x if piece.motion is None else piece.motion.back(now, x)
            distance = np.maximum(lattice.read(piece.distance, healthy) - _KEEP, 0)
            weight = 1 / (distance + _TOUCH)
            total += weight
            if piece.motion is not None:
                nearest = np.minimum(nearest, distance)
                way += weight * (piece.motion.at(before, healthy) - x)
        fade = np.clip((_FAR - nearest) / (_FAR - _NEAR), 0, 1) * lattice.room(x)
        x = x + way * (fade**2 * (3 - 2 * fade) / total)
        if step == _TIMES:  # what stays in the first step stays
            stays = fade == 0
            x, active = x[:, ~stays], active[~stays]
    moved[:, active] = x
    return moved
