"""Breaks vertebrae of a CT: draws a fracture, finds the collapse that measures as asked, and renders what follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.fracture.density import added
from fracture_vae.cohort.fracture.frame import Array, Body, Mask, find_body
from fracture_vae.cohort.fracture.heights import measure
from fracture_vae.cohort.fracture.noise import matched
from fracture_vae.cohort.fracture.parameters import Parameters
from fracture_vae.cohort.fracture.settle import Settling, settle
from fracture_vae.cohort.fracture.solve import solved
from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Heights
from fracture_vae.errors import InputError

_MOVED = 0.01  # mm; what moves less is left as it is, to the bit
_SMOOTHER = (0.3, 0.45, 0.6, 0.9)  # lattice steps: the settling is smoothed until it is invertible at every voxel
_IMPACTED = 0.7  # bone that keeps less of its height counts as changed
_SMOOTH = 1.6  # mm, σ of what counts as the CT without noise and trabeculae


@dataclass(frozen=True)
class Broken:
    """One fracture as made: what was drawn, and the heights (mm) it measures before and after."""

    number: int
    parameters: Parameters
    before: Heights
    after: Heights
    truth: Mask

    @property
    def losses(self) -> Heights:
        """Height lost at each site, as a fraction."""
        return Heights(*(1 - b / a for a, b in zip(self.before, self.after, strict=True)))


class Simulation(NamedTuple):
    """A CT with fractures and what is known about them; arrays lie on the CT's grid.

    Attributes:
        ct: (H, W, D) float32, HU; bit-identical to the given one where nothing moved.
        labels: (H, W, D) uint8, the vertebrae's new places.
        truth: (H, W, D) bool, where a body differs from its healthy self: lost or gained volume, packed bone,
            a slipped corner. Neighbours that settled are not marked, not even where they reach into what was the body.
        displacement: (H, W, D) float32, mm between a voxel and where its tissue came from, neighbours included.
        fractures: from foot to head.
    """

    ct: NDArray[np.float32]
    labels: NDArray[np.uint8]
    truth: Mask
    displacement: NDArray[np.float32]
    fractures: tuple[Broken, ...]


def break_vertebrae(
    ct: NDArray[np.float32],
    labels: NDArray[np.uint8],
    affine: Array,
    fractures: Mapping[int, Sequence[Parameters]],
    names: Mapping[int, str],
    seed: int = 0,
) -> Simulation:
    """Break vertebrae of a CT, from foot to head.

    Args:
        ct: (H, W, D), HU, axes near RAS.
        labels: (H, W, D), vertebra numbers.
        affine: (4, 4), voxels to world millimetres.
        fractures: by number in ``labels``, one or more drawn alike (`draw_candidates`); the first that measures in
            its grade's range in the scan's voxels is made.
        names: levels by number, for messages.
        seed: of the noise.

    Raises:
        InputError: a vertebra without a body, or whose body cannot lose the height asked for.
    """
    order = sorted(fractures, key=lambda n: float(np.nonzero(labels == n)[2].mean()))
    spacing = voxel_sizes(affine)
    smooth = ndimage.gaussian_filter(ct, _SMOOTH / spacing)
    state = _State(ct, smooth, labels.copy(), affine)
    made = [state.fracture(number, fractures[number], names[number]) for number in order]
    made = [replace(one, truth=one.truth & np.isin(state.labels, (0, one.number))) for one in made]
    return Simulation(
        state.rendered(np.random.default_rng(seed)),
        state.labels,
        np.any([one.truth for one in made], axis=0),
        np.linalg.norm(state.way, axis=0).astype(np.float32),
        tuple(made),
    )


def jacobian(source: Array, linear: Array) -> Array:
    """Return the determinant of a map's derivative, by central differences between voxels.

    Args:
        source: (3, H, W, D), where each voxel's tissue came from, mm.
        linear: (3, 3), what one voxel along each axis is in mm, in the frame of ``source``.
    """
    rows = np.stack([np.stack(np.gradient(part)) for part in source])
    return np.linalg.det(np.moveaxis(rows, (0, 1), (-2, -1))) / np.linalg.det(linear)


class _Move(NamedTuple):
    """What one fracture moves: voxels, their places in the broken frame and before, the way back, the new labels."""

    settling: Settling
    at: tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.int_]]
    own: Array
    source: Array
    way: Array
    labels: NDArray[np.uint8]


class _State:
    """A CT while its vertebrae break one after another: one map back to the original, resampled once at the end."""

    def __init__(self, ct: NDArray[np.float32], smooth: NDArray[np.float32], labels: NDArray[np.uint8], affine: Array):
        self._ct, self._smooth, self.labels, self._affine = ct, smooth, labels, affine
        self._linear = np.linalg.inv(affine)[:3, :3]
        self.way = np.zeros((3, *ct.shape), np.float32)  # mm, world
        self._added = np.zeros(ct.shape, np.float32)  # HU

    def fracture(self, number: int, candidates: Sequence[Parameters], name: str) -> Broken:
        own = self.labels == number
        body = find_body(own, self._affine, name)
        before = measure(own, self._affine, body)
        smooth = self._moved(self._smooth, self._index())
        low, high = GRADE_LOSS[candidates[0].grade]
        site = TYPES.index(candidates[0].type)
        for drawn in candidates:
            collapse = solved(own, self._affine, body, drawn, before)
            if collapse is None:
                continue
            move = self._move(settle(collapse, smooth, self.labels, number, self._affine))
            if move is None:
                continue
            labels = self.labels.copy()
            labels[move.at] = move.labels
            after = measure(labels == number, self._affine, body)
            if low <= 1 - after[site] / before[site] <= high:
                healthy = self._inside(own, body)
                broken, changed = self._apply(move, labels, number)
                return Broken(number, drawn, before, after, broken ^ healthy | changed)
        raise InputError(
            f"{name}: cannot be made a {drawn.type} of grade {drawn.grade} at this resolution; choose another"
        )

    def _inside(self, own: Mask, body: Body) -> Mask:
        inside = np.zeros_like(own)
        where = np.nonzero(own)
        inside[where] = body.inside(body.frame.to_own(self._world(np.array(where, dtype=float))))
        return inside

    def _move(self, settling: Settling) -> "_Move | None":
        """Return where one fracture takes everything; None where no smoothing makes that invertible."""
        frame = settling.collapse.body.frame
        box = settling.box(self._affine, self.labels.shape)
        start = np.array([part.start for part in box], dtype=float)[:, None]
        shape = tuple(part.stop - part.start for part in box)
        voxels = np.indices(shape).reshape(3, -1) + start
        own = frame.to_own(self._world(voxels))
        for sigma in _SMOOTHER:
            source = settling.smoothed(sigma).source_of(own)
            if jacobian(source.reshape(3, *shape), frame.axes.T @ self._affine[:3, :3]).min() > 0:
                break
        else:
            return None
        way = frame.axes @ (source - own)
        moved = np.linalg.norm(way, axis=0) > _MOVED
        voxels, way = voxels[:, moved], way[:, moved]
        i, j, k = voxels.astype(int)
        labels = _relabelled(self.labels, voxels + self._linear @ way)
        return _Move(settling, (i, j, k), own[:, moved], source[:, moved], way, labels)

    def _apply(self, move: "_Move", labels: NDArray[np.uint8], number: int) -> tuple[Mask, Mask]:
        """Make a move; return the broken body's voxels, and which of them are packed or slipped."""
        collapse, own = move.settling.collapse, move.own
        voxels = np.array(move.at, dtype=float)
        index = voxels + self._linear @ move.way
        total = move.way + np.stack(
            [ndimage.map_coordinates(part, index, order=1, mode="nearest") for part in self.way]
        )
        there = voxels + self._linear @ total
        smooth = ndimage.map_coordinates(self._smooth, there, order=1, mode="nearest")
        hu = ndimage.map_coordinates(self._added, index, order=1, mode="nearest")
        inside = move.settling.inside(move.source)
        near = np.flatnonzero(inside > 0)
        hu[near] += added(collapse, own[:, near], inside[near], smooth[near] + hu[near])
        self.labels = labels
        self.way[(slice(None), *move.at)] = total
        self._added[move.at] = hu
        mine = move.labels == number
        bodily = np.zeros(len(move.labels), bool)
        bodily[mine] = collapse.body.inside(move.source[:, mine])
        packed = np.zeros(len(move.labels), bool)
        packed[bodily] = collapse.compression(own[:, bodily]) < _IMPACTED
        if collapse.parameters.step:
            packed[bodily] |= collapse.corner(own[:, bodily]) > 0.5
        changed = np.zeros(labels.shape, bool)
        changed[move.at] = packed
        broken = self._inside(labels == number, collapse.body)
        broken[move.at] = bodily
        return broken, changed

    def rendered(self, random: np.random.Generator) -> NDArray[np.float32]:
        """Resample the CT once, by cubic splines, and add what density and lost noise bring."""
        moved = (self.way != 0).any(axis=0)
        box = ndimage.find_objects(moved.astype(np.uint8))[0]
        index = self._index()[(slice(None), *box)]
        margin = tuple(slice(max(part.start - 12, 0), part.stop + 12) for part in box)
        offset = np.array([part.start for part in margin], np.float32).reshape(3, 1, 1, 1)
        part = self._ct[margin]
        inner = tuple(slice(b.start - m.start, b.stop - m.start) for b, m in zip(box, margin, strict=True))
        whole = np.indices(part.shape, dtype=np.float32)
        whole[(slice(None), *inner)] = index - offset
        image = np.clip(ndimage.map_coordinates(part, whole, order=3, mode="mirror"), part.min(), part.max())
        image = matched(part, image, whole, random)[inner] + self._added[box]
        out = self._ct.copy()
        out[box] = np.where(moved[box], image, out[box])
        return out

    def _world(self, voxels: Array) -> Array:
        return self._affine[:3, :3] @ voxels + self._affine[:3, 3:]

    def _index(self) -> NDArray[np.float32]:
        index = np.indices(self._ct.shape, dtype=np.float32)
        index += np.tensordot(self._linear, self.way, 1).astype(np.float32)
        return index

    def _moved(self, image: NDArray[np.float32], index: NDArray[np.float32]) -> NDArray[np.float32]:
        return ndimage.map_coordinates(image, index, order=1, mode="nearest") if self.way.any() else image


def _relabelled(labels: NDArray[np.uint8], index: Array) -> NDArray[np.uint8]:
    """Read labels at places (3, n) between voxels: the one that has more than half, linear between voxels, or 0."""
    result = np.zeros(index.shape[1], np.uint8)
    for number in np.unique(labels[labels > 0]).tolist():
        share = ndimage.map_coordinates((labels == number).astype(np.float32), index, order=1, mode="nearest")
        result[share > 0.5] = number
    return result
