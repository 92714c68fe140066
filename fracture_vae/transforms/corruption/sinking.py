"""How a vertebral body sinks: its endplates approach each other, and what lies above and below follows."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fracture_vae.transforms.corruption.endplates import Endplates
from fracture_vae.transforms.corruption.spline import field

BICONCAVE = 1
REACH = (1.2, 2.8)
"""Half widths from a body's axis to which what follows a broken endplate moves in full, and from which not at all."""
RIPPLES = 7
"""Coefficients, an axis, of the unevenness of a broken endplate."""


class Body(NamedTuple):
    """A body as it was, of each image."""

    plates: Endplates
    middle: Tensor
    """(B, 2): in x and y, in voxels."""
    half: Tensor
    """(B, 2): half width and half depth, in voxels."""
    disc: Tensor
    """(B,): height of the discs, in voxels."""

    @property
    def height(self) -> Tensor:
        """(B,), in voxels."""
        return self.plates.upper - self.plates.lower


class Sinking(NamedTuple):
    """How one body loses height, of each image; (B,)."""

    rise: Tensor
    """How far above the body in the middle it lies, in its heights: 0, or about ± 1.3 for a neighbour."""
    kind: Tensor
    """int64: 0 wedge, 1 biconcave, 2 crush."""
    loss: Tensor
    """Share of the height lost where most is; 0 for a whole one."""
    hinge: Tensor
    """Wedge: where the loss begins (-1 behind to 1 in front)."""
    hollow: Tensor
    """(B, 2, 2), biconcave: deepest point and radii across and along, in half widths."""
    lean: Tensor
    """How much more is lost on one side."""
    share: Tensor
    """The upper endplate's part of the loss."""
    follow: Tensor
    """(B, 2): how much of an endplate's fall what lies above, and below, follows."""
    ripples: Tensor
    """(B, 1, RIPPLES, RIPPLES): spline coefficients."""


class Places(NamedTuple):
    """Where each column stands in its body, (B, X, Y)."""

    across: Tensor
    """-1 to 1 from wall to wall."""
    along: Tensor
    """-1 behind to 1 in front."""
    forward: Tensor
    """From the body's middle, in voxels."""

    @property
    def radius(self) -> Tensor:
        """1 at the walls."""
        return torch.hypot(self.across, self.along)


class Fall(NamedTuple):
    """How the columns of one broken body have moved; (B, X, Y, 1), in voxels."""

    upper_now: Tensor
    lower_now: Tensor
    upper: Tensor
    """How far the upper endplate came down."""
    lower: Tensor
    """How far the lower endplate came up."""
    above: Tensor
    """How far the vertebra above came down."""
    below: Tensor
    """How far the vertebra below came up."""
    disc: Tensor
    """(B, 1, 1, 1): height of the discs before."""


def places_of(body: Body, size: Sequence[int]) -> Places:
    """Return where the columns of images of ``size`` (X, Y, …) stand in ``body``."""
    device = body.middle.device
    x, y = (torch.arange(n, device=device) - body.middle[:, i, None] for i, n in enumerate(size[:2]))
    across, along = x / body.half[:, :1], y / body.half[:, 1:]
    shape = (len(x), x.shape[1], y.shape[1])
    return Places(*(line.expand(shape) for line in (across[:, :, None], along[:, None, :], y[:, None, :])))


def fall_of(body: Body, sinking: Sinking, places: Places) -> Fall:
    """Return how the columns of ``body``, or of one beside it, move when it sinks."""
    tilt = plane(body.plates.slope) * places.forward
    raised = sinking.rise * body.height
    sunk = _sunk(sinking, places) * plane(body.height)
    upper, lower = plane(sinking.share) * sunk, (1 - plane(sinking.share)) * sunk
    near = ((REACH[1] - places.radius) / (REACH[1] - REACH[0])).clamp(0, 1)
    above, below = (
        (_level(moved, places) * plane(share)).clamp(min=-1) * near
        for moved, share in zip((upper, lower), sinking.follow.unbind(1), strict=True)
    )
    upper_now = plane(body.plates.upper + raised) + tilt - upper
    lower_now = plane(body.plates.lower + raised) + tilt + lower
    return Fall(
        upper_now=upper_now[..., None],
        lower_now=lower_now[..., None],
        upper=upper[..., None],
        lower=lower[..., None],
        above=above[..., None],
        below=below[..., None],
        disc=column(body.disc),
    )


def _sunk(sinking: Sinking, places: Places) -> Tensor:
    """Return the share of its height that each column (B, X, Y) loses, at most 0.7."""
    across, along, radius = places.across, places.along, places.radius
    hinge = plane(sinking.hinge)
    wedge = ((along - hinge) / (0.85 - hinge)).clamp(0, 1.2)
    (deep_u, deep_v), (wide_u, wide_v) = ([plane(part) for part in pair.unbind(1)] for pair in sinking.hollow.unbind(1))
    hollow = torch.exp(-(((across - deep_u) / wide_u).abs() ** 2.5) - ((along - deep_v) / wide_v).abs() ** 2.5)
    shapes = torch.stack([wedge, hollow, torch.ones_like(wedge)], dim=1)
    shape = shapes[torch.arange(len(shapes), device=shapes.device), sinking.kind]
    lines = [part * (RIPPLES - 1) / 4 + (RIPPLES - 1) / 2 for part in (across[:, :, 0], along[:, 0, :])]
    uneven = (1 + plane(sinking.lean) * across) * (1 + 0.08 * field(sinking.ripples, lines)[:, 0])
    edge = ((1.25 - radius) / 0.25).clamp(0, 1)
    return (plane(sinking.loss) * shape * uneven).clamp(0, 0.7) * edge


def _level(moved: Tensor, places: Places) -> Tensor:
    """Return the plane, rising towards the front, nearest to (B, X, Y) ``moved`` over the body: a vertebra is stiff."""
    inner = (places.radius < 1).to(moved.dtype)
    count = inner.sum((1, 2)).clamp(min=1)
    middle, mean = (inner * places.along).sum((1, 2)) / count, (inner * moved).sum((1, 2)) / count
    away = inner * (places.along - plane(middle))
    rise = (away * moved).sum((1, 2)) / (away * places.along).sum((1, 2)).clamp(min=1e-3)
    return plane(mean) + plane(rise) * (places.along.clamp(-3, 1.5) - plane(middle))


def before(z: Tensor, fall: Fall) -> Tensor:
    """Return where what is at ``z`` (B, X, Y, Z) lay before; strictly rising along every column.

    A disc takes up what the vertebra beyond it does not follow: it grows by as much.
    """
    inside = ((z - fall.lower_now) / (fall.upper_now - fall.lower_now).clamp(min=0.5)).clamp(0, 1)
    over = ((z - fall.upper_now) / _disc(fall.disc, fall.upper - fall.above)).clamp(0, 1)
    under = ((fall.lower_now - z) / _disc(fall.disc, fall.lower - fall.below)).clamp(0, 1)
    up = torch.lerp(fall.upper * inside, fall.above, over)
    down = torch.lerp(fall.lower * (1 - inside), fall.below, under)
    return z + up - down


def _disc(before: Tensor, grown: Tensor) -> Tensor:
    return torch.maximum(before + grown, 0.5 * before)


def plane(values: Tensor) -> Tensor:
    """Return (B,) ``values`` for planes (B, X, Y)."""
    return values[:, None, None]


def column(values: Tensor) -> Tensor:
    """Return (B,) ``values`` for columns (B, X, Y, Z)."""
    return values[:, None, None, None]
