"""How a vertebral body of the phantom collapses: a smooth displacement of its endplates, by Genant type and grade."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Fracture, Heights
from fracture_vae.cohort.phantom.anatomy import Lip, Vertebra, Wave
from fracture_vae.cohort.phantom.streams import stream

Field = NDArray[np.float32]
RIM = 0.85  # where heights are read in front and behind, as a fraction of the body's half depth


@dataclass(frozen=True)
class Collapse:
    """A fracture as drawn for one vertebra; lengths in mm."""

    type: str
    depth: float  # of the endplates' approach where this type is measured
    upper_share: float  # how much of it the upper endplate takes
    hinge: float  # wedge: where the loss begins (−1 behind … 1 in front)
    centre: tuple[float, float]  # biconcave: deepest point (u, v)
    reach: tuple[float, float]  # biconcave: radii of the hollow along u and v
    lean: float  # one-sided: how much more is lost on the right, as a fraction
    rough: tuple[Wave, ...]  # relative ripples of the broken endplate
    band: float  # thickness of the impacted zone
    packing: float  # by how much spongy bone is denser there, as a fraction
    sclerosis: float  # HU added in it, beyond what packing adds
    spread: float  # widening of the body, as a fraction
    retropulsion: float  # how far the upper back wall moves into the canal
    lips: tuple[Lip, ...]  # the buckled front edge


def draw_collapse(seed: int, vertebra: Vertebra, fracture: Fracture) -> Collapse:
    """Draw one fracture of one vertebra; its loss at the measured site lies inside the grade's range."""
    random = stream(seed, "fracture", vertebra.index)
    low, high = GRADE_LOSS[fracture.grade]
    loss = random.uniform(low + 0.01, high - 0.01)
    a, b = vertebra.width, vertebra.depth
    share = {"wedge": (0.8, 1.0), "biconcave": (0.5, 0.7), "crush": (0.7, 1.0)}[fracture.type]
    front = Lip(np.pi / 2 + random.normal(0, 0.15), random.uniform(3, 7) * loss, True)
    return Collapse(
        type=fracture.type,
        depth=loss * healthy_heights(vertebra)[TYPES.index(fracture.type)],
        upper_share=random.uniform(*share),
        hinge=random.uniform(-0.9, -0.55),
        centre=(random.uniform(-0.12, 0.12) * a, random.uniform(-0.1, 0.1) * b),
        reach=(random.uniform(0.55, 0.7) * a, random.uniform(0.5, 0.62) * b),
        lean=random.uniform(-0.15, 0.15),
        rough=_roughness(random),
        band=random.uniform(2.5, 5.0),
        packing=random.uniform(0.1, 0.7),
        sclerosis=float(random.uniform() < 0.5) * random.uniform(60, 260),
        spread=random.uniform(0.05, 0.15) * loss,
        retropulsion=random.uniform(2, 7) * loss if fracture.type == "crush" else 0.0,
        lips=(front,) if fracture.type != "biconcave" else (),
    )


def _roughness(random: np.random.Generator) -> tuple[Wave, ...]:
    length, turn, phase = random.uniform(8, 24, 4), random.uniform(0, 2 * np.pi, 4), random.uniform(0, 2 * np.pi, 4)
    k = 2 * np.pi / length
    return tuple(Wave(0.03, *w) for w in zip(k * np.cos(turn), k * np.sin(turn), phase, strict=True))


def ripple(waves: tuple[Wave, ...], u: Field, v: Field) -> Field:
    """Sum of waves at (u, v)."""
    total = np.zeros(np.broadcast(u, v).shape, np.float32)
    for wave in waves:
        total += np.float32(wave.amplitude) * np.cos(wave.ku * u + wave.kv * v + wave.phase, dtype=np.float32)
    return total


def rim_and_bowl(vertebra: Vertebra, u: Field, v: Field, upper: bool) -> Field:
    """Height w of a healthy endplate (mm) over (u, v): the rim's plane, hollowed, rippled and pitted."""
    side = int(upper)
    r2 = np.minimum((u / vertebra.half_width[side]) ** 2 + (v / vertebra.half_depth[side]) ** 2, 1.0)
    hollow = vertebra.concavity[side] * (1 - r2**2) + ripple(vertebra.waves[side], u, v)
    for pit in vertebra.pits:
        if pit.upper == upper:
            hollow = hollow + pit.depth * np.exp(-((u - pit.u) ** 2 + (v - pit.v) ** 2) / 12.0)
    rim = 0.5 * vertebra.height(v)
    return np.asarray(rim - hollow if upper else hollow - rim, np.float32)


def sink(vertebra: Vertebra, collapse: Collapse, u: Field, v: Field) -> Field:
    """How far (mm) both endplates together approach each other over (u, v), at most 70 % of their distance."""
    at_v = {"wedge": RIM, "biconcave": 0.0, "crush": -RIM}[collapse.type] * vertebra.depth
    gap = _gap(vertebra, u, v)
    here = _profile(vertebra, collapse, u, v, gap)
    there_u, there_v = np.zeros(1, np.float32), np.full(1, at_v, np.float32)
    there = _profile(vertebra, collapse, there_u, there_v, _gap(vertebra, there_u, there_v))
    return np.asarray(np.minimum(collapse.depth * here / there, 0.7 * gap), np.float32)


def _gap(vertebra: Vertebra, u: Field, v: Field) -> Field:
    """Distance (mm) of the healthy endplates; at least 1 beyond the body's edge."""
    return np.maximum(rim_and_bowl(vertebra, u, v, True) - rim_and_bowl(vertebra, u, v, False), np.float32(1))


def _profile(vertebra: Vertebra, collapse: Collapse, u: Field, v: Field, gap: Field) -> Field:
    """Shape of the loss over (u, v), up to a factor; a crush takes a share of whatever height there is."""
    x, y = u / vertebra.width, v / vertebra.depth
    if collapse.type == "wedge":
        shape = np.clip((y - collapse.hinge) / (RIM - collapse.hinge), 0, 1.15) ** 1.2 * (1 + collapse.lean * x)
    elif collapse.type == "biconcave":
        (cu, cv), (ru, rv) = collapse.centre, collapse.reach
        shape = np.exp(-(np.abs((u - cu) / ru) ** 2.5) - np.abs((v - cv) / rv) ** 2.5)
    else:
        shape = gap * (1 + 0.06 * (1 + y) + collapse.lean * x)
    return np.asarray(shape * (1 + ripple(collapse.rough, u, v)), np.float32)


def endplate(vertebra: Vertebra, collapse: Collapse | None, u: Field, v: Field, upper: bool) -> Field:
    """Height w of an endplate (mm) over (u, v), broken or not."""
    surface = rim_and_bowl(vertebra, u, v, upper)
    if collapse is None:
        return surface
    share = collapse.upper_share if upper else collapse.upper_share - 1
    return np.asarray(surface - share * sink(vertebra, collapse, u, v), np.float32)


def heights(vertebra: Vertebra, collapse: Collapse | None) -> Heights:
    """Measure a body's final geometry in its mid-sagittal plane, at the middle and at 85 % of the half depth."""
    v = np.array([RIM, 0.0, -RIM], np.float32) * np.float32(vertebra.depth)
    u = np.zeros_like(v)
    between = endplate(vertebra, collapse, u, v, True) - endplate(vertebra, collapse, u, v, False)
    return Heights(*(float(h) for h in between))


def healthy_heights(vertebra: Vertebra) -> Heights:
    """Heights of the body before any fracture."""
    return heights(vertebra, None)
