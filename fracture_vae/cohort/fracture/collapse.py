"""How a body collapses: both endplates come nearer, columns give way between them, walls bulge; all of it invertible.

Along w every column is a strictly increasing map: an endplate and the 2.5 mm under it move as one, and the height
between is given up with the density J(r) = 1 − δ κ(r) over the normalised depth r, where δ is the column's loss over
its length and κ, of mean 1, is highest beside the endplates that sank. Sideways motion is added in the deformed body
as a displacement of slope below 1. Both are written as maps from the deformed to the healthy body, which is what
resampling needs.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from fracture_vae.cohort.fracture.frame import STEP, Array, Body
from fracture_vae.cohort.fracture.heights import RIM
from fracture_vae.cohort.fracture.parameters import Parameters, Wave
from fracture_vae.cohort.genant import Heights

_PLATE = 2.5  # mm under an endplate that move with it
_TIGHTEST = 0.75  # of a column's length, the most that is lost anywhere: J stays above 0.25
_BESIDE = 6.0  # mm beside the body within which crowding fades out
_DEEPEST = 0.62  # of a column's height, the most it gives up
_SPREAD = 0.15  # the least share of the loss that is spread evenly over the depth
_HALVINGS = 20  # of the bisection that inverts a column: 2⁻²⁰ of its length
_SLIP = 0.7  # mm, half thickness of the sheared layer under a broken corner


@dataclass(frozen=True)
class Collapse:
    """One body's collapse. Fields over the body's lattice of columns, in mm, follow from the rest.

    Attributes:
        body: the healthy body.
        parameters: the fracture as drawn.
        depths: how far the endplates come nearer in front, in the middle and behind (mm); a wedge and a biconcave
            fracture have one depth, where they are measured, and a shape for the rest.
    """

    body: Body
    parameters: Parameters
    depths: Heights
    sunk: Array = field(init=False, repr=False)  # how far both endplates together
    plate: Array = field(init=False, repr=False)  # thickness of what moves with each
    near: Array = field(init=False, repr=False)  # 1 over the footprint, falling to 0 beside it

    def __post_init__(self) -> None:
        object.__setattr__(self, "sunk", _sunk(self.body, self.parameters, self.depths))
        object.__setattr__(self, "plate", np.minimum(_PLATE, 0.12 * self.body.height))
        beside = ndimage.distance_transform_edt(~self.body.footprint) * STEP
        object.__setattr__(self, "near", np.clip(1 - beside / _BESIDE, 0, 1))

    @property
    def upper(self) -> Array:
        """(U, V), how far the upper endplate comes down (mm)."""
        return self.parameters.upper_share * self.sunk

    @property
    def lower(self) -> Array:
        """(U, V), how far the lower endplate comes up (mm)."""
        return (1 - self.parameters.upper_share) * self.sunk

    def source_of(self, own: Array) -> Array:
        """Return where the tissue at points (3, …) of the deformed body's frame lay before."""
        own = own - self.aside(own)
        return np.stack([own[0], own[1], self.column(own)])

    def compression(self, own: Array) -> Array:
        """Return J at points of the deformed body: how much of its height the tissue there has kept (0.25 to 1)."""
        own = own - self.aside(own)
        half = np.zeros_like(own)
        half[2] = 0.25
        return 0.5 / (self.column(own + half) - self.column(own - half))

    def column(self, own: Array) -> Array:
        """Return w before, of points (3, …) whose column collapsed and did nothing else."""
        u, v, w = own
        even = self.evenly(own, 1.0, 0.0)
        return even + self.crowded(u, v, w, even)

    def evenly(self, own: Array, start: float, end: float) -> Array:
        """Return w at ``end`` (0 healthy, 1 broken) of points (3, …) at ``start``, were bone squeezed evenly.

        Both endplates move at a steady pace, what lies between them in proportion, what lies beyond as they do.
        """
        u, v, w = own
        share = self.parameters.upper_share
        sunk, top, bottom = (self.body.at(f, u, v) for f in (self.sunk, self.body.top, self.body.bottom))
        low = bottom + start * (1 - share) * sunk
        high = np.maximum(top - start * share * sunk, low + 0.5)
        upper = np.clip((w - low) / (high - low), 0, 1)
        return w + (end - start) * sunk * (1 - share - upper)

    def crowded(self, u: Array, v: Array, w: Array, even: Array) -> Array:
        """Return what to add to ``even``, where tissue now at (u, v, w) lay were all squeezed alike: 0 beyond the body.

        It shifts bone within its column, endplates held, so that the loss crowds beside them; beside the body it
        fades out.
        """
        body, share = self.body, self.parameters.upper_share
        weight = body.at(self.near, u, v)
        shift = np.zeros_like(w)
        plate, sunk = body.at(self.plate, u, v), body.at(self.sunk, u, v)
        bottom, top = body.at(body.bottom, u, v), body.at(body.top, u, v)
        length = np.maximum(top - bottom - 2 * plate, 1.0)
        new_bottom = bottom + (1 - share) * sunk
        new_top = top - share * sunk
        between = (w > new_bottom) & (w < new_top) & (weight > 0) & (sunk > 0)
        w, weight, plate, sunk, length = w[between], weight[between], plate[between], sunk[between], length[between]
        bottom, new_bottom, new_top = bottom[between], new_bottom[between], new_top[between]
        place = np.clip((w - new_bottom - plate) / length, 0, 1 - sunk / length)
        source = bottom + plate + length * self._depth_of(place, sunk / length)
        source = np.where(w < new_bottom + plate, w - new_bottom + bottom, source)
        source = np.where(w > new_top - plate, w + share * sunk, source)
        shift[between] = weight * (source - even[between])
        return shift

    def _depth_of(self, place: Array, lost: Array) -> Array:
        """Invert G(r) = r − δ ∫κ for columns of unit length that lose ``lost``."""
        even = self._even(lost)
        n, share = self.parameters.crowding, self.parameters.upper_share
        scale = lost / (even + (1 - even) / (n + 1))
        low, high = np.zeros_like(place), np.ones_like(place)
        for _ in range(_HALVINGS):
            r = (low + high) / 2
            crowded = (share * r ** (n + 1) + (1 - share) * (1 - (1 - r) ** (n + 1))) / (n + 1)
            below = r - scale * (even * r + (1 - even) * crowded) < place
            low, high = np.where(below, r, low), np.where(below, high, r)
        return (low + high) / 2

    def _even(self, lost: Array) -> Array:
        """Share of the loss that is spread evenly, so that no part of a column loses more than `_TIGHTEST`."""
        mean, peak = 1 / (self.parameters.crowding + 1), max(self.parameters.upper_share, 0.5)
        needed = (lost * peak - _TIGHTEST * mean) / (_TIGHTEST * (1 - mean) - lost * (1 - peak))
        return np.clip(needed, _SPREAD, 1.0)

    def aside(self, own: Array) -> Array:
        """Return the sideways part of the displacement (3, …): bulge, retropulsion, a slipped corner; w is 0."""
        u, v, w = own
        body, p = self.body, self.parameters
        x, y = u / body.half_width, v / body.half_depth
        top = body.at(body.top - self.upper, u, v)
        bottom = body.at(body.bottom + self.lower, u, v)
        rho = np.clip((w - bottom) / np.maximum(top - bottom, 1.0), 0, 1)
        radius = np.hypot(x, y)
        belly = p.bulge * np.sin(np.pi * rho) ** 2 * np.where(radius < 1, 1, np.clip(2 - radius, 0, 1))
        aside = np.zeros_like(own)
        aside[0] = belly * x
        aside[1] = belly * np.maximum(y, 0)
        if p.retropulsion:
            behind = np.exp(-(((v + body.half_depth) / 6) ** 2) - (u / 8) ** 2 - ((w - top + 6) / 5) ** 2)
            aside[1] -= p.retropulsion * behind
        if p.step:
            aside[1] += p.step * self.corner(own)
        return aside

    def corner(self, own: Array) -> Array:
        """Return how much (0–1) points of the deformed body belong to the broken upper front corner."""
        u, v, w = own
        body = self.body
        front = np.clip((v - 0.25 * body.half_depth) / (0.6 * body.half_depth), 0, 1)
        front = front**2 * (3 - 2 * front)
        across = np.exp(-((u / body.half_width - self.parameters.step_turn) ** 4) / 0.35**4 * 0.3)
        above = 1 / (1 + np.exp(-np.clip((w - self.break_height(u, v)) / _SLIP, -30, 30)))
        over = body.at(body.top - self.upper, u, v)
        beyond = np.clip(1 - (w - over - 1) / 6, 0, 1) * np.clip(2 - (v - body.half_depth) / 12, 0, 1)
        return front * across * above * beyond

    def break_height(self, u: Array, v: Array) -> Array:
        """Return w of the break under the slipped corner at (u, v), in the deformed body; uneven as bone breaks."""
        body, p = self.body, self.parameters
        top, bottom = body.top - self.upper, body.bottom + self.lower
        front = np.full_like(u, body.half_depth * 0.9)
        over = body.at(top, u, front)
        depth = p.step_at * (over - body.at(bottom, u, front))
        return over - depth + 0.25 * (body.half_depth - v) + 6 * ripple(p.rough[:3], u, v)


def ripple(waves: tuple[Wave, ...], u: Array, v: Array) -> Array:
    """Sum of waves at (u, v)."""
    return np.sum([wave.amplitude * np.cos(wave.ku * u + wave.kv * v + wave.phase) for wave in waves], axis=0)


def columns(body: Body) -> tuple[Array, Array]:
    """Return u and v (mm) of the body's lattice, both (U, V)."""
    shape = body.top.shape
    u = body.corner[0] + STEP * np.arange(shape[0])
    v = body.corner[1] + STEP * np.arange(shape[1])
    grid = np.meshgrid(u, v, indexing="ij")
    return grid[0], grid[1]


def _sunk(body: Body, p: Parameters, depths: Heights) -> Array:
    u, v = columns(body)
    x, y = np.clip(u / body.half_width, -1.15, 1.15), np.clip(v / body.half_depth, -1.15, 1.15)
    if p.type == "wedge":
        shape = depths.anterior * np.clip((y - p.hinge) / (RIM - p.hinge), 0, None) ** p.bend
    elif p.type == "biconcave":
        (cu, cv), (ru, rv) = p.centre, p.reach
        hollow = np.exp(-(np.abs((x - cu) / ru) ** 2.5) - np.abs((y - cv) / rv) ** 2.5)
        shape = depths.middle * hollow / np.exp(-(np.abs(cu / ru) ** 2.5) - np.abs(cv / rv) ** 2.5)
    else:  # the parabola through the three depths
        t = np.clip(y, -1, 1) / RIM
        tilt, bend = (depths.anterior - depths.posterior) / 2, (depths.anterior + depths.posterior) / 2 - depths.middle
        shape = depths.middle + tilt * t + bend * t**2
    uneven = np.maximum(1 + ripple(p.rough, u, v), 0.3) * (1 + p.lean * x * (p.type != "biconcave"))
    return np.clip(shape * uneven, 0, _DEEPEST * body.height)
