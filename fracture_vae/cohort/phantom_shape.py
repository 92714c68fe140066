"""The bones of one vertebra as signed distances in its own frame (mm, negative inside).

The body is a super-ellipse with a waist, cut by its back wall and its endplates. Everything else, pedicle to rib,
is a swept plate: a tapering segment dragged a little to both sides along a normal and then thickened.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.phantom_anatomy import LEVELS, Lip, Vertebra
from fracture_vae.cohort.phantom_fracture import Collapse, Field, endplate

_UP = (0.0, 0.0, 1.0)


class Body(NamedTuple):
    """Distances (mm) in a vertebral body: to its surface, and down from the upper and up from the lower endplate."""

    distance: Field
    under_upper: Field
    over_lower: Field


@dataclass(frozen=True)
class Plate:
    """A segment from ``start`` to ``end``, swept ``reach`` mm to both sides along ``normal``, ``radius`` mm thick.

    Reach and radius are given at both ends.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    reach: tuple[float, float]
    radius: tuple[float, float]
    normal: tuple[float, float, float] = _UP

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners of the box that holds the plate."""
        ends = np.array([self.start, self.end])
        swell = np.abs(self.normal) * max(self.reach) + max(self.radius)
        return ends.min(0) - swell, ends.max(0) + swell

    def distance(self, u: Field, v: Field, w: Field) -> Field:
        """Signed distance to the plate's surface (mm)."""
        a, n = np.array(self.start, np.float32), np.array(self.normal, np.float32)
        axis = np.array(self.end, np.float32) - a
        du, dv, dw = u - a[0], v - a[1], w - a[2]
        s = np.clip((du * axis[0] + dv * axis[1] + dw * axis[2]) / np.float32(axis @ axis), 0, 1)
        du -= s * axis[0]
        dv -= s * axis[1]
        dw -= s * axis[2]
        limit = self.reach[0] + (self.reach[1] - self.reach[0]) * s
        t = np.clip(du * n[0] + dv * n[1] + dw * n[2], -limit, limit)
        du -= t * n[0]
        dv -= t * n[1]
        dw -= t * n[2]
        radius = self.radius[0] + (self.radius[1] - self.radius[0]) * s
        return np.asarray(np.sqrt(du * du + dv * dv + dw * dw) - radius, np.float32)


def smooth_max(a: Field, b: Field, k: float) -> Field:
    """Maximum of two distances with the edge rounded over ``k`` mm (a quadratic blend)."""
    h = np.maximum(np.float32(k) - np.abs(a - b), 0)
    return np.asarray(np.maximum(a, b) + h * h * np.float32(0.25 / k), np.float32)


def side_wall(vertebra: Vertebra, collapse: Collapse | None, u: Field, v: Field, rho: Field) -> Field:
    """Distance to the body's side walls; ``rho`` runs from −1 at the lower to 1 at the upper endplate."""
    mix = np.clip(0.5 + 0.5 * rho, 0, 1)
    pinch = 1 - np.float32(vertebra.waist) * (1 - np.minimum(rho * rho, 1))
    if collapse is not None:
        pinch = pinch * np.float32(1 + collapse.spread)
    a = (vertebra.half_width[0] + (vertebra.half_width[1] - vertebra.half_width[0]) * mix) * pinch
    b = (vertebra.half_depth[0] + (vertebra.half_depth[1] - vertebra.half_depth[0]) * mix) * (0.3 + 0.7 * pinch)
    n = np.float32(vertebra.squareness)
    f = ((np.abs(u) / a) ** n + (np.abs(v) / np.where(v < 0, 1.12 * b, b)) ** n) ** (1 / n)
    f = np.maximum(f, np.float32(1e-3))
    around = (f - 1) / f * np.sqrt(u * u + v * v)
    hollow = np.exp(-((u / np.float32(0.55 * vertebra.canal_width)) ** 2))
    back = vertebra.notch * hollow - b - v
    if collapse is not None and collapse.retropulsion > 0:
        back = back - collapse.retropulsion * hollow * np.exp(-((rho - 0.5) ** 2) / 0.25)
    return smooth_max(np.asarray(around, np.float32), np.asarray(back, np.float32), 3.0)


def body(vertebra: Vertebra, collapse: Collapse | None, u: Field, v: Field, w: Field) -> Body:
    """Signed distance to the surface of the vertebral body, intact or collapsed."""
    top, bottom = (endplate(vertebra, collapse, u, v, upper) for upper in (True, False))
    under, over = top - w, w - bottom
    rho = (over - under) / np.maximum(top - bottom, 1)
    side = side_wall(vertebra, collapse, u, v, rho)
    lips = vertebra.lips + (collapse.lips if collapse is not None else ())
    if lips:
        angle = np.arctan2(v, u)
        for lip in lips:
            side = side - _protrusion(lip, angle, under if lip.upper else over)
    ends = np.maximum(-under, -over)
    return Body(smooth_max(np.asarray(side, np.float32), ends, 1.2), under, over)


def _protrusion(lip: Lip, angle: Field, depth: Field) -> Field:
    away = np.abs(angle - np.float32(lip.angle))
    away = np.minimum(away, np.float32(2 * np.pi) - away)
    bump = np.exp(-((away / 0.4) ** 2) - (depth / 2.2) ** 2)
    return np.asarray(lip.size * bump, np.float32)


def posterior_parts(vertebra: Vertebra, drop: float) -> Iterator[Plate]:
    """Yield pedicles, laminae, articular, transverse and spinous processes; ``drop`` lowers them all (mm)."""
    x = vertebra
    b, scale = x.depth, x.pedicle_height / 15
    top = x.height_back / 2
    lift = top - x.pedicle_height / 2 - (0.5 if x.thoracic else 1.5) - drop
    side = x.canal_width / 2 + x.pedicle_width / 2  # middle of the pedicle
    arch = -b - 0.62 * x.canal_depth  # where pedicle and lamina meet
    roof = -b - x.canal_depth  # inner face of the lamina in the middle
    thick = 3.0 if x.thoracic else 3.4
    lamina = 8.0 if x.thoracic else 7.5 + 2 * (scale - 1)
    slope = np.deg2rad(x.spine_slope)
    along = np.array([0, -np.cos(slope), -np.sin(slope)])
    base = np.array([0, roof - thick + 0.5, lift - 7])
    tip = base + x.spine_length * along
    across = (0.0, float(-np.sin(slope)), float(np.cos(slope)))
    tall = 4.0 if x.thoracic else 7.5
    if x.level in ("T11", "T12"):
        tall = 6.0
    yield Plate(_xyz(base), _xyz(tip), (tall, tall * 0.9), (2.3, 3.2 if x.thoracic else 3.6), across)
    for sign in (-1, 1):
        yield from _half_arch(x, sign, lift, side, arch, roof, thick, lamina, drop)


def _half_arch(
    x: Vertebra,
    sign: int,
    lift: float,
    side: float,
    arch: float,
    roof: float,
    thick: float,
    lamina: float,
    drop: float,
) -> Iterator[Plate]:
    b, top = x.depth, x.height_back / 2 - drop
    reach = max(0.5 * (x.pedicle_height - x.pedicle_width), 0.0)
    half = x.pedicle_width / 2
    yield Plate((sign * side, -b + 4, lift), (sign * side, arch, lift), (reach, reach), (half, half))
    yield Plate(
        (sign * (side - 0.5), arch, lift - 4),
        (0, roof - thick, lift - 8),
        (lamina * 0.9, lamina),
        (thick + 0.6, thick),
    )
    below = -x.height_back / 2 - drop
    if x.thoracic and x.index < LEVELS.index("T12"):
        facet, knee = side - 0.5, arch - 5.5
        yield Plate((sign * facet, arch + 0.5, lift), (sign * facet, arch - 0.5, top + 6), (3, 2.5), (3, 2), (1, 0, 0))
        yield Plate((sign * facet, knee, lift - 5), (sign * facet, knee - 1, below - 3), (3, 3), (3, 2), (1, 0, 0))
    else:
        outer, inner = side + 1.5, max(side - 5.0, 0.3 * x.canal_width)
        slant = (sign * 0.5, 0.87, 0.0)
        yield Plate((sign * side, arch, lift), (sign * outer, arch - 3, top + 5), (2, 3.5), (4, 3), slant)
        if x.level != "S2":
            tip = below - 0.6 * x.disc_below - 6
            yield Plate((sign * (side - 1), arch - 3, lift - 6), (sign * inner, roof - 1, tip), (1, 2), (4, 3.4))
    yield from _wing(x, sign, lift, side, arch)


def _wing(x: Vertebra, sign: int, lift: float, side: float, arch: float) -> Iterator[Plate]:
    half_span = x.span / 2
    if x.level[0] == "S":
        reach = 9.0 if x.level == "S1" else 6.0
        yield Plate((sign * 18, -6, 0), (sign * 54, -16, -8), (reach, reach), (8, 12))
    elif x.thoracic:
        yield Plate((sign * side, arch, lift - 1), transverse_tip(x, sign, lift, arch), (2, 1), (4.2, 5.0))
    else:
        yield Plate((sign * side, arch + 3, lift - 1), (sign * half_span, arch - 8, lift + 1), (4, 3.5), (3.6, 2.4))


def transverse_tip(x: Vertebra, sign: int, lift: float, arch: float) -> tuple[float, float, float]:
    """End of a thoracic transverse process, which points out, back and a little up."""
    return (sign * x.span / 2, arch - 0.28 * x.span, lift + 3)


def rib_parts(vertebra: Vertebra) -> Iterator[Plate]:
    """Yield the heads, necks and first lengths of a thoracic level's pair of ribs."""
    x = vertebra
    lift = x.height_back / 2 - x.pedicle_height / 2 - 0.5
    arch = -x.depth - 0.62 * x.canal_depth
    free = x.level in ("T11", "T12")
    head_w = lift + 2 if free or x.level == "T1" else x.height_back / 2 + 1
    for sign in (-1, 1):
        tip = transverse_tip(x, sign, lift, arch)
        head = (sign * (0.93 * x.width + 3.5), -x.depth + 5.5, head_w)
        neck = (sign * (abs(tip[0]) + 3), tip[1] + 8, tip[2] - 2)
        angle = (sign * (abs(tip[0]) + 24), tip[1] + 2, tip[2] - 9)
        far = (sign * (abs(tip[0]) + 52), tip[1] + 22, tip[2] - 24)
        yield Plate(head, neck, (1.5, 2), (3.6, 3.2))
        yield Plate(neck, angle, (2, 3), (3.2, 3.2))
        yield Plate(angle, far, (3, 3), (3.2, 3.2))


def _xyz(point: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(point[0]), float(point[1]), float(point[2])
