"""What is random about a fracture: drawn once, from a seed, and recorded."""

from dataclasses import dataclass

import numpy as np

from fracture_vae.cohort.genant import GRADE_LOSS, Fracture

_MARGIN = 0.015  # the loss asked for keeps this far from the ends of its grade's range
_CANDIDATES = 8
_WORST = 0.55  # the most that is drawn; beyond, nothing is left to be impacted


@dataclass(frozen=True)
class Wave:
    """One ripple over an endplate: relative amplitude, wave numbers along u and v (1/mm) and phase."""

    amplitude: float
    ku: float
    kv: float
    phase: float


@dataclass(frozen=True)
class Parameters:
    """One fracture as drawn. Places are fractions of the body's half width and half depth; lengths are mm."""

    type: str
    grade: int
    loss: float  # of height where the type is measured, as a fraction
    upper_share: float  # how much of it the upper endplate takes
    hinge: float  # wedge: where the loss begins (−1 behind … 1 in front)
    bend: float  # wedge: exponent of its growth to the front
    centre: tuple[float, float]  # biconcave: deepest point
    reach: tuple[float, float]  # biconcave: radii of the hollow
    lean: float  # one-sided: how much more is lost on the right, as a fraction
    rough: tuple[Wave, ...]  # relative ripples of the broken endplates
    crowding: int  # how near the endplates the lost height is taken up; higher is nearer
    bulge: float  # widening of the walls
    retropulsion: float  # how far the upper back wall moves into the canal
    sclerosis: float  # HU of the band under a sunken endplate, 0 for none
    step: float  # cortical break: how far the upper front corner has slipped forward, 0 for none
    step_at: float  # and how far below the upper endplate it broke, as a fraction of the height in front
    step_turn: float  # and where, to the right (positive) or left of the midline, as a fraction of the half width
    texture: int  # seed of the fine texture


def draw_parameters(
    random: np.random.Generator, fracture: Fracture, *, sclerosis: bool = False, cortical_break: bool = False
) -> Parameters:
    """Draw one fracture; the same generator state gives the same fracture, with or without the two options."""
    low, high = GRADE_LOSS[fracture.grade]
    loss = random.uniform(low + _MARGIN, min(high, _WORST) - _MARGIN)
    share = {"wedge": (0.85, 1.0), "biconcave": (0.5, 0.65), "crush": (0.8, 0.95)}[fracture.type]
    drawn = Parameters(
        type=fracture.type,
        grade=fracture.grade,
        loss=float(loss),
        upper_share=random.uniform(*share),
        hinge=random.uniform(-0.85, -0.55),
        bend=random.uniform(1.0, 1.4),
        centre=(random.uniform(-0.15, 0.15), random.uniform(-0.12, 0.08)),
        reach=(random.uniform(0.6, 0.75), random.uniform(0.55, 0.68)),
        lean=random.uniform(-0.18, 0.18),
        rough=_ripples(random),
        crowding=int(random.integers(2, 5)),
        bulge=random.uniform(2.0, 5.0) * loss * (0.4 if fracture.type == "biconcave" else 1),
        retropulsion=random.uniform(3.0, 8.0) * loss * (fracture.type == "crush"),
        sclerosis=random.uniform(90, 210),
        step=random.uniform(1.8, 3.0),
        step_at=random.uniform(0.25, 0.45),
        step_turn=random.uniform(-0.25, 0.25),
        texture=int(random.integers(2**31)),
    )
    off: dict[str, float] = ({} if sclerosis else {"sclerosis": 0.0}) | ({} if cortical_break else {"step": 0.0})
    return Parameters(**{**drawn.__dict__, **off})


def draw_candidates(
    seed: int, number: int, fracture: Fracture, *, sclerosis: bool = False, cortical_break: bool = False
) -> tuple[Parameters, ...]:
    """Draw several fractures of vertebra ``number`` alike; the first whose voxels measure as asked is made."""
    return tuple(
        draw_parameters(
            np.random.default_rng([seed, number, attempt]), fracture, sclerosis=sclerosis, cortical_break=cortical_break
        )
        for attempt in range(_CANDIDATES)
    )


def _ripples(random: np.random.Generator) -> tuple[Wave, ...]:
    """Draw six ripples, 6–20 mm long, together about 0.09 of the loss strong (RMS)."""
    length, turn, phase = random.uniform(6, 20, 6), random.uniform(0, 2 * np.pi, 6), random.uniform(0, 2 * np.pi, 6)
    k = 2 * np.pi / length
    return tuple(
        Wave(0.05, float(a), float(b), float(c))
        for a, b, c in zip(k * np.cos(turn), k * np.sin(turn), phase, strict=True)
    )
