"""The two shapes a vertebra is made of, as signed distances in its own frame (mm, negative inside).

The body is a super-ellipse with a waist, cut by its back wall and its endplates. Everything else, pedicle to rib,
is a plate: a tapering segment swept a little to both sides along a normal and then thickened.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.phantom.anatomy import Lip, Vertebra
from fracture_vae.cohort.phantom.collapse import Collapse, Field, endplate

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
    rounded: float = 0.0  # how much of the reach is gone at the very end, as a fraction

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
        if self.rounded:
            limit *= 1 - np.float32(self.rounded) * np.clip((s - 0.55) / 0.45, 0, 1) ** 2
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


def smooth_min(a: Field, b: Field, k: float) -> Field:
    """Minimum of two distances with the crease filled over ``k`` mm."""
    return -smooth_max(-a, -b, k)


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
