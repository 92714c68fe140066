"""Who the synthetic patient is: vertebra sizes by level, the curve of the spine, bone density.

Widths, depths, canal and pedicle sizes are rounded from the means of Panjabi et al., "Thoracic human vertebrae",
Spine 16(8), 1991, and "Human lumbar vertebrae", Spine 17(3), 1992. Those are dry bones; heights are set about a
tenth larger, and processes, disc heights and tilts to what an adult lying in a CT scanner commonly shows.

Frames: world coordinates are millimetres along right, anterior and superior (RAS+). A vertebra's own frame is
(u right, v anterior, w up its axis), with the origin in the middle of its body.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS = tuple(f"T{i}" for i in range(1, 13)) + tuple(f"L{i}" for i in range(1, 6)) + ("S1", "S2")
ASKABLE = LEVELS[3:17]  # T4 … L5; the others are only ever seen as neighbours

_PURPOSES = {"patient": 0, "vertebra": 1, "texture": 2, "fracture": 3, "noise": 4, "tissue": 5}


def stream(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """Return the random stream of one purpose and one level (or slice) of one patient, independent of all others."""
    return np.random.Generator(np.random.PCG64((seed, _PURPOSES[purpose], index)))


def label_of(level: str) -> int:
    """Return the VerSe label of a level: T1–T12 are 8–19, L1–L5 are 20–24."""
    return 8 + LEVELS.index(level)


# One row a level, T1 to S2, in mm: body width and depth (upper, lower endplate), height behind, ratio of the height
# in front to it, height of the disc below, canal width and depth, pedicle width and height, tilt (degrees, the
# axis of the body leaning forward).
_TABLE = """
T1  25 28 18 20 16.0 0.98  4.0  21 16  8.5 10   26
T2  25 27 20 22 17.0 0.98  4.0  19 16  7.5 11   24
T3  25 26 23 23 17.5 0.97  4.0  18 16  7.0 12   21
T4  25 26 23 24 18.2 0.97  4.0  17 16  6.3 12   18
T5  25 27 24 26 18.7 0.96  4.2  17 16  6.2 12   14
T6  26 28 26 27 19.3 0.96  4.4  17 16  6.2 12    9
T7  28 29 27 28 19.9 0.96  4.6  17 16  6.4 12    4
T8  29 31 28 29 20.5 0.96  4.8  18 16  6.8 13   -1
T9  31 33 29 31 21.2 0.97  5.2  18 16  7.5 14   -5
T10 32 35 30 31 22.2 0.97  5.6  18 16  8.5 15   -9
T11 35 39 32 32 23.4 0.96  6.4  19 16  9.2 17  -12
T12 39 42 33 33 25.2 0.95  7.4  22 17  9.0 17  -13
L1  41 43 34 35 26.6 0.96  8.5  24 18  9.0 16  -12
L2  43 45 34 35 27.4 0.99  9.8  24 18  9.2 15   -8
L3  44 48 35 35 27.4 1.02 11.0  24 17 10.5 15   -2
L4  47 50 35 34 26.8 1.06 11.5  25 18 13.0 15    7
L5  48 50 35 34 25.0 1.15 11.0  27 18 16.5 18   18
S1  50 40 33 24 28.0 1.08  2.5  30 15 18.0 20   35
S2  40 32 23 18 24.0 1.05  1.5  26 12 14.0 16   48
"""
_SIZES = np.array([[float(n) for n in row.split()[1:]] for row in _TABLE.strip().splitlines()])


def _along(*points: tuple[str, float]) -> NDArray[np.float64]:
    """Interpolate a quantity given at a few levels over all levels."""
    at = [LEVELS.index(level) for level, _ in points]
    return np.interp(np.arange(len(LEVELS)), at, [value for _, value in points])


_SPAN = _along(("T1", 72), ("T4", 62), ("T9", 58), ("T12", 46), ("L1", 70), ("L3", 86), ("L4", 80), ("L5", 82))
_SPINE_LENGTH = _along(("T1", 36), ("T4", 38), ("T8", 40), ("T11", 30), ("T12", 26), ("L3", 30), ("L5", 22), ("S1", 10))
_SPINE_SLOPE = _along(("T1", 30), ("T5", 55), ("T8", 58), ("T11", 32), ("T12", 18), ("L1", 10), ("L5", 10))


@dataclass(frozen=True)
class Patient:
    """What one patient's vertebrae share.

    ``age`` runs from 0 (young) to 1 (old); ``trabecular``, ``cortical`` and ``contrast`` (blood in the aorta) are HU;
    ``noise`` is the standard deviation in HU at 1 mm voxels, ``blur`` the scanner's in-plane point spread (σ, mm).
    """

    seed: int
    scale: float
    age: float
    trabecular: float
    cortical: float
    contrast: float
    noise: float
    blur: float
    fat: float


class Pose(NamedTuple):
    """A vertebra's place: centre of its body (mm, RAS) and the rotation whose columns are u, v and w."""

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]


@dataclass(frozen=True)
class Lip:
    """An osteophyte or fragment on the rim of an endplate: angle round the body (radians, 0 right, π/2 front)."""

    angle: float
    size: float
    upper: bool


class Wave(NamedTuple):
    """One ripple of an endplate: amplitude (mm), wave numbers along u and v (1/mm) and phase."""

    amplitude: float
    ku: float
    kv: float
    phase: float


@dataclass(frozen=True)
class Vertebra:
    """The healthy geometry of one vertebra in its own frame; all lengths in mm."""

    level: str
    index: int
    half_width: tuple[float, float]  # at the lower, upper endplate
    half_depth: tuple[float, float]
    height_front: float
    height_back: float
    disc_below: float
    canal_width: float
    canal_depth: float
    pedicle_width: float
    pedicle_height: float
    waist: float  # how much narrower the body is at mid-height, as a fraction
    squareness: float  # exponent of the super-ellipse that bounds the axial section
    notch: float  # depth of the concave back wall
    concavity: tuple[float, float]  # depth of the lower, upper endplate
    waves: tuple[tuple[Wave, ...], tuple[Wave, ...]]  # ripples of the lower, upper endplate
    pits: tuple[tuple[float, float, float, bool], ...]  # Schmorl nodes: u, v, depth, upper?
    lips: tuple[Lip, ...]
    wall: float  # cortical thickness of the body's walls
    endplate: float  # thickness of the bony endplates
    density: float  # trabecular HU
    span: float  # tip to tip of the transverse processes
    spine_length: float
    spine_slope: float  # degrees below the horizontal
    skew: float  # how the two transverse processes differ
    bumps: tuple[tuple[float, float, float, float], ...]  # ripples of arch and processes: wave vector (1/mm), phase

    @property
    def thoracic(self) -> bool:
        """Whether the level carries ribs."""
        return self.level[0] == "T"

    @property
    def depth(self) -> float:
        """Half the body's mean depth (mm)."""
        return sum(self.half_depth) / 2

    @property
    def width(self) -> float:
        """Half the body's mean width (mm)."""
        return sum(self.half_width) / 2

    def height(self, v: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distance of the endplates' rims at depth ``v``, which need not be parallel."""
        slope = (self.height_front - self.height_back) / (2 * self.depth)
        return np.asarray(self.height_back + slope * (v + self.depth), np.float32)


def draw_patient(seed: int) -> Patient:
    """Draw what the patient's vertebrae share from ``seed``."""
    random = stream(seed, "patient")
    age = random.uniform()
    return Patient(
        seed=seed,
        scale=float(np.clip(random.normal(1.0, 0.065), 0.86, 1.16)),
        age=age,
        trabecular=float(np.clip(random.normal(205 - 105 * age, 22), 80, 220)),
        cortical=random.uniform(850, 1150) - 150 * age,
        contrast=45.0 if random.uniform() < 0.5 else random.uniform(130, 280),
        noise=random.uniform(18, 45),
        blur=random.uniform(0.4, 0.65),
        fat=random.uniform(0, 1),
    )


def draw_vertebra(patient: Patient, level: str) -> Vertebra:
    """Draw one vertebra of a patient; it depends on the patient's seed and the level alone."""
    index = LEVELS.index(level)
    random = stream(patient.seed, "vertebra", index)
    size = _SIZES[index].copy()
    size[:11] *= patient.scale
    size[5] = _SIZES[index, 5] * random.normal(1.0, 0.012)
    width, depth, height = random.normal(1.0, 0.02, 3)
    disc = 1 - 0.3 * patient.age * random.uniform()
    half_width, half_depth = size[0:2] / 2 * width, size[2:4] / 2 * depth
    back = size[4] * height
    bony = level[0] != "S"
    return Vertebra(
        level=level,
        index=index,
        half_width=(half_width[1], half_width[0]),
        half_depth=(half_depth[1], half_depth[0]),
        height_front=back * size[5],
        height_back=back,
        disc_below=size[6] * disc,
        canal_width=size[7] * random.normal(1.0, 0.03),
        canal_depth=size[8] * random.normal(1.0, 0.03),
        pedicle_width=size[9] * random.normal(1.0, 0.05),
        pedicle_height=size[10] * random.normal(1.0, 0.03),
        waist=random.uniform(0.07, 0.13) if bony else 0.02,
        squareness=random.uniform(2.2, 2.6) if index >= LEVELS.index("T12") else random.uniform(2.0, 2.2),
        notch=random.uniform(0.06, 0.12) * half_depth[0] * 2,
        concavity=_concavity(random, patient, bony),
        waves=(_waves(random, 0.16), _waves(random, 0.16)),
        pits=_pits(random, patient, float(half_width[0]), float(half_depth[0]), bony),
        lips=_lips(random, patient, bony),
        wall=random.uniform(0.55, 0.8) - 0.12 * patient.age,
        endplate=random.uniform(0.7, 0.95) - 0.1 * patient.age,
        density=patient.trabecular * random.normal(1.0, 0.05),
        span=float(_SPAN[index]) * patient.scale * random.normal(1.0, 0.04),
        spine_length=float(_SPINE_LENGTH[index]) * patient.scale * random.normal(1.0, 0.05),
        spine_slope=float(_SPINE_SLOPE[index]) + random.normal(0, 3),
        skew=random.normal(0, 1),
        bumps=_bumps(random),
    )


def _concavity(random: np.random.Generator, patient: Patient, bony: bool) -> tuple[float, float]:
    low, high = (0.9, 2.2) if bony else (0.0, 0.3)
    lower, upper = random.uniform(low, high, 2) * patient.scale
    return float(lower), float(0.85 * upper)


def _waves(random: np.random.Generator, amplitude: float) -> tuple[Wave, ...]:
    """Draw four ripples of 8–25 mm wavelength, together about ``amplitude`` mm strong (RMS)."""
    length, turn = random.uniform(8, 25, 4), random.uniform(0, 2 * np.pi, 4)
    k = 2 * np.pi / length
    return tuple(
        Wave(amplitude * np.sqrt(0.5), float(k[i] * np.cos(turn[i])), float(k[i] * np.sin(turn[i])), float(phase))
        for i, phase in enumerate(random.uniform(0, 2 * np.pi, 4))
    )


def _bumps(random: np.random.Generator) -> tuple[tuple[float, float, float, float], ...]:
    """Draw three ripples in space, 10–22 mm long."""
    waves = random.normal(size=(3, 3))
    waves *= 2 * np.pi / (np.linalg.norm(waves, axis=1) * random.uniform(10, 22, 3))[:, None]
    phases = random.uniform(0, 2 * np.pi, 3)
    return tuple((float(k[0]), float(k[1]), float(k[2]), float(p)) for k, p in zip(waves, phases, strict=True))


def _pits(
    random: np.random.Generator, patient: Patient, a: float, b: float, bony: bool
) -> tuple[tuple[float, float, float, bool], ...]:
    count = int(random.uniform() < 0.12 + 0.1 * patient.age) if bony else 0
    draws = random.uniform(size=(1, 4))[:count]
    return tuple(
        ((p[0] - 0.5) * 0.8 * a, (p[1] - 0.6) * 0.8 * b, 1.5 + 2 * p[2], bool(p[3] < 0.5)) for p in draws.tolist()
    )


def _lips(random: np.random.Generator, patient: Patient, bony: bool) -> tuple[Lip, ...]:
    count = int(random.poisson(2.2 * patient.age)) if bony else 0
    return tuple(
        Lip(
            random.uniform(-0.1, np.pi + 0.1),
            random.uniform(1.0, 1.8 + 2.2 * patient.age),
            bool(random.integers(2)),
        )
        for _ in range(count)
    )


def draw_poses(patient: Patient, vertebrae: Mapping[str, Vertebra]) -> dict[str, Pose]:
    """Stack all levels from S2 upwards along the patient's curve, lordosis and kyphosis scaled apart.

    L5's body is centred at the world's origin.
    """
    random = stream(patient.seed, "patient", 1)
    kyphosis, lordosis = random.uniform(0.65, 1.3), random.uniform(0.7, 1.15)
    bend, phase = random.normal(0, 1.6), random.uniform(0, 2 * np.pi)
    jitter = random.normal(0, 0.8, (len(LEVELS), 3))
    base = _SIZES[:, 11]
    middle = base[LEVELS.index("L1")]  # the inflection both curves hang on
    index = np.arange(len(LEVELS))
    tilt = middle + (base - middle) * np.where(index < LEVELS.index("L1"), kyphosis, lordosis) + jitter[:, 0]
    tilt += random.normal(0, 2)
    side = bend * 2.2 * np.sin(2 * np.pi * index / 14 + phase) + 0.5 * jitter[:, 1]
    turn = 0.6 * side + 0.5 * jitter[:, 2]
    poses: dict[str, Pose] = {}
    top = np.zeros(3)
    up = np.array([0.0, 0.0, 1.0])
    for i in reversed(range(len(LEVELS))):
        vertebra = vertebrae[LEVELS[i]]
        axes = rotation(np.deg2rad(tilt[i]), np.deg2rad(side[i]), np.deg2rad(turn[i]))
        half = (vertebra.height_front + vertebra.height_back) / 4
        between = up + axes[:, 2]
        centre = top + vertebra.disc_below * between / np.linalg.norm(between) + half * axes[:, 2]
        poses[LEVELS[i]] = Pose(centre, axes)
        top, up = centre + half * axes[:, 2], axes[:, 2]
    origin = poses["L5"].centre
    return {level: Pose(poses[level].centre - origin, poses[level].axes) for level in LEVELS}


def rotation(tilt: float, side: float, turn: float) -> NDArray[np.float64]:
    """Rotate by ``tilt`` (axis leaning forward), then ``side`` (to the right), after a ``turn`` about the axis."""
    ct, st, cs, ss, cr, sr = np.cos(tilt), np.sin(tilt), np.cos(side), np.sin(side), np.cos(turn), np.sin(turn)
    forward = np.array([[1, 0, 0], [0, ct, st], [0, -st, ct]])
    right = np.array([[cs, 0, ss], [0, 1, 0], [-ss, 0, cs]])
    about = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(right @ forward @ about)
