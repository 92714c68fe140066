"""The soft tissue the spine lies in, slice by slice: fat, muscle, lungs, great vessels, organs, spinal canal."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fracture_vae.cohort.phantom.anatomy import LEVELS, Vertebra
from fracture_vae.cohort.phantom.collapse import Field
from fracture_vae.cohort.phantom.grid import Grid
from fracture_vae.cohort.phantom.patient import Patient
from fracture_vae.cohort.phantom.poses import Pose
from fracture_vae.cohort.phantom.streams import stream

_LUMPS = 10.0  # mm between the knots of the random field that mottles fat and organs
_LUMP_RANGE = (-120.0, 760.0)  # heights (mm above L5) the field covers
_EDGE = 1.5  # mm over which one tissue turns into the next


class _Spine(NamedTuple):
    """What surrounds the spine at every slice: arrays over z of positions and sizes (mm) and of the level's index."""

    x: Field
    y: Field
    half_width: Field
    half_depth: Field
    canal_width: Field
    canal_depth: Field
    level: Field


def soft_tissue(grid: Grid, patient: Patient, vertebrae: Mapping[str, Vertebra], poses: Mapping[str, Pose]) -> Field:
    """Return the CT (HU, shape of the grid) of everything but bones and discs."""
    z = grid.axis(2)
    spine = _follow(z, vertebrae, poses)
    lumps = _Lumps(grid, patient)
    ct = np.empty(grid.shape, np.float32)
    x, y = grid.axis(0)[:, None], grid.axis(1)[None, :]
    for k in range(grid.shape[2]):
        here = _Spine(*(values[k] for values in spine))
        ct[:, :, k] = _slice(patient, here, x - here.x, y - here.y, lumps(float(z[k])))
    return ct


def _follow(z: Field, vertebrae: Mapping[str, Vertebra], poses: Mapping[str, Pose]) -> _Spine:
    order = list(reversed(LEVELS))
    at = np.array([poses[level].centre[2] for level in order])
    bodies = [vertebrae[level] for level in order]

    def along(values: list[float]) -> Field:
        return np.interp(z, at, values).astype(np.float32)

    return _Spine(
        along([poses[level].centre[0] for level in order]),
        along([poses[level].centre[1] for level in order]),
        along([b.width for b in bodies]),
        along([b.depth for b in bodies]),
        along([b.canal_width for b in bodies]),
        along([b.canal_depth for b in bodies]),
        along([float(b.index) for b in bodies]),
    )


class _Lumps:
    """A smooth random field over the patient, linear between knots, read slice by slice."""

    def __init__(self, grid: Grid, patient: Patient) -> None:
        low, high = _LUMP_RANGE
        count = int((high - low) / _LUMPS) + 2
        self._knots = stream(patient.seed, "tissue").standard_normal((count, 40, 40)).astype(np.float32)
        self._x = self._weights(grid.axis(0))
        self._y = self._weights(grid.axis(1))

    @staticmethod
    def _weights(position: Field) -> Field:
        knot = np.clip(position / _LUMPS + 19.5, 0, 38.999)
        weights = np.zeros((len(position), 40), np.float32)
        floor = knot.astype(int)
        rows = np.arange(len(position))
        weights[rows, floor] = 1 - (knot - floor)
        weights[rows, floor + 1] = knot - floor
        return weights

    def __call__(self, z: float) -> Field:
        knot = float(np.clip((z - _LUMP_RANGE[0]) / _LUMPS, 0, len(self._knots) - 1.001))
        floor = int(knot)
        plane = self._knots[floor] * (1 - (knot - floor)) + self._knots[floor + 1] * (knot - floor)
        return np.asarray(self._x @ plane @ self._y.T, np.float32)


def _slice(patient: Patient, spine: _Spine, x: Field, y: Field, lumps: Field) -> Field:
    """One axial slice; x (to the right) and y (forward) are mm from the middle of the vertebral body."""
    ct = -100 + 8 * lumps
    b, a, level = float(spine.half_depth), float(spine.half_width), float(spine.level)
    lumbar = float(np.clip(level - 10.5, 0, 1))  # 0 in the chest, 1 below T12
    arch = -b - float(spine.canal_depth)
    organs = np.clip(0.5 + (lumps + 0.9 - patient.fat) / 0.7, 0, 1)
    wide, deep = a + 7 + 12 * lumbar, b + 5 + 9 * lumbar  # the fat round the body; the rest is organs (no air)
    beyond = np.float32(1) - _ellipse(x, y, wide, deep, 2.5)
    _lay(ct, 42 + 6 * lumps, _over(y - arch - 4) * beyond * organs)
    muscle = np.float32(52) + np.float32(6 + 14 * patient.age) * np.minimum(lumps, np.float32(0))
    _fill(ct, muscle, x, y - (arch - 12 - 5 * lumbar), 50, 17 + 8 * lumbar, 3.2)
    psoas = float(np.clip((level - 11) / 4, 0, 1))  # from nothing at T12 to its full size at L4
    for sign in (-1, 1):
        _fill(ct, muscle, x - sign * 58, y - (arch - 2), 16, 9 + 4 * lumbar)
        if psoas:
            u, v = x - sign * (a + 3 + 9 * psoas), y + 6 - 4 * psoas
            _fill(ct, muscle, u, v, 6 + 10 * psoas, 9 + 12 * psoas, strength=min(4 * psoas, 1.0))
    _lungs(ct, x, y, a, b, arch, level, lumps)
    _vessels(ct, patient, x, y, a, b, lumbar, level, lumps)
    half, hollow = float(spine.canal_width) / 2, float(spine.canal_depth) / 2
    _fill(ct, -60.0, x, y + b + hollow, half + 2, hollow + 2)
    _fill(ct, 22.0, x, y + b + hollow, 0.78 * half, 0.8 * hollow)
    if level < LEVELS.index("L1") + 0.5:
        _fill(ct, 45.0, x, y + b + hollow, 5.0, 3.8)
    return ct


def _lungs(ct: Field, x: Field, y: Field, a: float, b: float, arch: float, level: float, lumps: Field) -> None:
    """Lungs beside the spine, parted by a mediastinum that widens forwards; below T10 only their recess behind."""
    ending = float(np.clip((level - 8.5) / 3, 0, 1))  # 0 above T9, 1 below T12
    if ending == 1:
        return
    side = np.abs(x)
    mediastinum = a + 7 + np.clip((y - b) * np.float32(0.35), 0, 22) + 6 * ending
    wall = arch + 1 + np.clip((side - 30) * np.float32(-0.35), -9, 4)  # the ribs bulge backwards beside the spine
    front = np.float32(arch - 10 + (b + 100 - arch) * (1 - ending))
    inside = _over(side - mediastinum) * _over(y - wall - 7) * _over(front - y + 4 * lumps)
    _lay(ct, -860 + 20 * lumps + 500 * np.clip(lumps - 1.5, 0, 1), inside)


def _vessels(
    ct: Field, patient: Patient, x: Field, y: Field, a: float, b: float, lumbar: float, level: float, lumps: Field
) -> None:
    if level > LEVELS.index("L4") + 0.3:  # below the fork: the common iliac vessels
        spread = 12 + 8 * (level - LEVELS.index("L4"))
        for sign in (-1, 1):
            _fill(ct, patient.contrast, x - sign * spread, y - b - 14, 6.5, 6.5)
        return
    aorta = (-0.55 * a - 9 * (1 - lumbar), b + 13 - 7 * (1 - lumbar))
    radius = 10.5 + 1.5 * (1 - lumbar) + 1.5 * patient.age
    _fill(ct, patient.contrast, x - aorta[0], y - aorta[1], radius, radius)
    if patient.calcification:
        away = np.sqrt((x - aorta[0]) ** 2 + (y - aorta[1]) ** 2) - np.float32(radius)
        plaque = np.exp(-((away / 1.1) ** 2)) * np.clip((1.6 * patient.calcification - 2.0 - lumps) * 2, 0, 1)
        _lay(ct, 750.0, np.asarray(plaque, np.float32))
    if lumbar:
        _fill(ct, 0.5 * (patient.contrast + 45), x - 0.75 * a, y - b - 11, 11, 9, strength=lumbar)


def _lay(ct: Field, value: Field | float, cover: Field) -> None:
    ct += cover * (value - ct)


def _fill(
    ct: Field, value: Field | float, x: Field, y: Field, a: float, b: float, power: float = 2.0, strength: float = 1.0
) -> None:
    """Lay ``value`` where an `_ellipse` about (0, 0) covers, touching no other pixel."""
    beyond = 1 + _EDGE / min(a, b)
    rows, columns = _span(x.ravel(), a * beyond), _span(y.ravel(), b * beyond)
    here = value if isinstance(value, float) else value[rows, columns]
    _lay(ct[rows, columns], here, np.float32(strength) * _ellipse(x[rows], y[:, columns], a, b, power))


def _span(position: Field, reach: float) -> slice:
    return slice(*np.searchsorted(position, (-reach, reach)).tolist())


def _over(distance: Field) -> Field:
    return np.asarray(np.clip(0.5 + distance / np.float32(2 * _EDGE), 0, 1), np.float32)


def _ellipse(x: Field, y: Field, a: float, b: float, power: float = 2.0) -> Field:
    """Cover (0–1) of a super-ellipse with half axes ``a`` and ``b`` (mm), its edge a few millimetres soft."""
    r = (np.abs(x / np.float32(a)) ** power + np.abs(y / np.float32(b)) ** power) ** (1 / power)
    return _over((1 - r) * np.float32(min(a, b)))
