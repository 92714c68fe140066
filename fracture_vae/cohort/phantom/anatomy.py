"""The vertebrae of a synthetic patient: sizes by level, shape, wear and density of each.

Widths, depths, canal and pedicle sizes are rounded from the means of Panjabi et al., "Thoracic human vertebrae",
Spine 16(8), 1991, and "Human lumbar vertebrae", Spine 17(3), 1992. Those are dry bones; heights are set about a
tenth larger, and processes, disc heights and tilts to what an adult lying in a CT scanner commonly shows.

Frames: world coordinates are millimetres along right, anterior and superior (RAS+). A vertebra's own frame is
(u right, v anterior, w up its axis), with the origin in the middle of its body.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.phantom.disc import Disc, draw_disc
from fracture_vae.cohort.phantom.patient import Patient
from fracture_vae.cohort.phantom.streams import stream

LEVELS = tuple(f"T{i}" for i in range(1, 13)) + tuple(f"L{i}" for i in range(1, 6)) + ("S1", "S2")
ASKABLE = LEVELS[3:17]  # T4 … L5; the others are only ever seen as neighbours


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
TILT = _SIZES[:, 11]
"""Of the mean adult's bodies by level, degrees."""


def _along(*points: tuple[str, float]) -> NDArray[np.float64]:
    """Interpolate a quantity given at a few levels over all levels."""
    at = [LEVELS.index(level) for level, _ in points]
    return np.interp(np.arange(len(LEVELS)), at, [value for _, value in points])


_SPAN = _along(("T1", 72), ("T4", 62), ("T9", 58), ("T12", 46), ("L1", 70), ("L3", 86), ("L4", 80), ("L5", 82))
_SPINE_LENGTH = _along(("T1", 36), ("T4", 38), ("T8", 40), ("T11", 30), ("T12", 26), ("L3", 30), ("L5", 22), ("S1", 10))
_SPINE_SLOPE = _along(("T1", 30), ("T5", 55), ("T8", 58), ("T11", 32), ("T12", 18), ("L1", 10), ("L5", 10))
_DENSITY = _along(("T1", 1.18), ("T4", 1.16), ("T8", 1.1), ("T12", 1.02), ("L1", 1.0), ("L3", 0.96), ("S1", 0.95))
_WEDGED = {"T": (0.84, 1.06), "L": (0.86, 1.3), "S": (1.0, 1.2)}  # ratios of front to back that occur unbroken


@dataclass(frozen=True)
class Lip:
    """An osteophyte or fragment on the rim of an endplate: angle round the body (radians, 0 right, π/2 front)."""

    angle: float
    size: float
    upper: bool


class Pit(NamedTuple):
    """A Schmorl node: place (u, v), depth (mm), sclerosis of its rim (HU), and in which endplate it is."""

    u: float
    v: float
    depth: float
    rim: float
    upper: bool


class Spot(NamedTuple):
    """A bone island or a hemangioma: place (u, v, w) and radius (mm), and the HU it adds in its middle."""

    u: float
    v: float
    w: float
    radius: float
    grey: float


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
    disc: Disc  # the one below,
    disc_below: float  # its height in mm,
    disc_above: Disc | None  # and the one above; None at T1
    canal_width: float
    canal_depth: float
    pedicle_width: float
    pedicle_height: float
    waist: float  # how much narrower the body is at mid-height, as a fraction
    squareness: float  # exponent of the super-ellipse that bounds the axial section
    notch: float  # depth of the concave back wall
    concavity: tuple[float, float]  # depth of the lower, upper endplate
    waves: tuple[tuple[Wave, ...], tuple[Wave, ...]]  # ripples of the lower, upper endplate
    pits: tuple[Pit, ...]
    spots: tuple[Spot, ...]
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


def draw_vertebra(patient: Patient, level: str) -> Vertebra:
    """Draw one vertebra of a patient; it depends on the patient's seed and the level alone."""
    index = LEVELS.index(level)
    random = stream(patient.seed, "vertebra", index)
    size = _SIZES[index].copy()
    size[:11] *= patient.scale
    wedging = patient.wedging if level[0] == "T" else 1.0
    ratio = float(np.clip(_SIZES[index, 5] * wedging * random.normal(1.0, 0.035), *_WEDGED[level[0]]))
    width, depth, height = random.normal(1.0, (0.02, 0.02, 0.03))
    half_width, half_depth = size[0:2] / 2 * width, size[2:4] / 2 * depth
    back = size[4] * height
    bony = level[0] != "S"
    disc, above = draw_disc(patient, index), draw_disc(patient, index - 1) if index else None
    return Vertebra(
        level=level,
        index=index,
        half_width=(half_width[1], half_width[0]),
        half_depth=(half_depth[1], half_depth[0]),
        height_front=back * ratio,
        height_back=back,
        disc=disc,
        disc_below=size[6] * disc.height,
        disc_above=above,
        canal_width=size[7] * random.normal(1.0, 0.03),
        canal_depth=size[8] * random.normal(1.0, 0.03),
        pedicle_width=size[9] * random.normal(1.0, 0.05),
        pedicle_height=size[10] * random.normal(1.0, 0.03),
        waist=random.uniform(0.07, 0.13) if bony else 0.02,
        squareness=random.uniform(2.2, 2.6) if index >= LEVELS.index("T12") else random.uniform(2.0, 2.2),
        notch=random.uniform(0.06, 0.12) * half_depth[0] * 2,
        concavity=_concavity(random, patient, bony),
        waves=(_waves(random, 0.16), _waves(random, 0.16)),
        pits=_pits(random, patient, float(half_width[0]), float(half_depth[0])) if bony else (),
        spots=_spots(random, patient, float(half_width[0]), float(half_depth[0]), back / 2) if bony else (),
        lips=_lips(random, patient, index, (disc, above)) if bony else (),
        wall=random.uniform(0.55, 0.8) - 0.12 * patient.age,
        endplate=random.uniform(0.7, 0.95) - 0.1 * patient.age,
        density=patient.trabecular * float(_DENSITY[index]) * random.normal(1.0, 0.07),
        span=float(_SPAN[index]) * patient.scale * random.normal(1.0, 0.04),
        spine_length=float(_SPINE_LENGTH[index]) * patient.scale * random.normal(1.0, 0.05),
        spine_slope=float(_SPINE_SLOPE[index]) + random.normal(0, 3),
        skew=random.normal(0, 1),
        bumps=_bumps(random),
    )


def _concavity(random: np.random.Generator, patient: Patient, bony: bool) -> tuple[float, float]:
    """Draw how hollow the endplates are (lower, upper; mm): more where bone is thin, without being broken."""
    low, high = (0.7, 2.2 + float(np.clip((140 - patient.trabecular) / 100, 0, 1))) if bony else (0.0, 0.3)
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


def _pits(random: np.random.Generator, patient: Patient, a: float, b: float) -> tuple[Pit, ...]:
    return tuple(
        Pit(
            u=random.uniform(-0.4, 0.4) * a,
            v=random.uniform(-0.5, 0.3) * b,
            depth=random.uniform(1.5, 4.5),
            rim=random.uniform(0, 250),
            upper=bool(random.uniform() < 0.5),
        )
        for _ in range(int(random.poisson(0.12 + 0.2 * patient.degeneration)))
    )


def _spots(random: np.random.Generator, patient: Patient, a: float, b: float, half: float) -> tuple[Spot, ...]:
    """Draw bone islands (dense, small) and hemangiomas (rare bone, large)."""
    spots = []
    for often, radius, grey in ((0.06, (1.5, 4.0), (250, 600)), (0.07, (4.0, 8.0), (-0.8, -0.4))):
        if random.uniform() < often:
            u, v, w = (random.uniform(-0.5, 0.5, 3) * (a, b, half)).tolist()
            add = random.uniform(*grey) * (patient.trabecular if grey[1] < 0 else 1.0)
            spots.append(Spot(u, v, w, random.uniform(*radius), add))
    return tuple(spots)


def _lips(
    random: np.random.Generator, patient: Patient, index: int, discs: tuple[Disc, Disc | None]
) -> tuple[Lip, ...]:
    """Draw osteophytes, more and larger beside a worn disc; and the bone that flows along the front in DISH."""
    lips = []
    for disc, upper in zip(discs, (False, True), strict=True):
        worn = disc is not None and disc.worn
        for _ in range(int(random.poisson(1.2 * patient.degeneration + 1.5 * worn))):
            size = random.uniform(1.0, 1.8 + 2.0 * patient.degeneration + 1.2 * worn)
            lips.append(Lip(random.uniform(-0.1, np.pi + 0.1), size, upper))
        if patient.hyperostosis and LEVELS.index("T6") <= index <= LEVELS.index("L2"):
            lips.append(Lip(random.uniform(0.7, 1.6), random.uniform(2.5, 5.0), upper))
    return tuple(lips)
