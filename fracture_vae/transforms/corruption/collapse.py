"""Vertebral bodies that lose height: a field of compression along the spine, in the middle of a crop."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted
from fracture_vae.transforms.corruption.endplates import MIDDLE, Endplates, find_endplates
from fracture_vae.transforms.corruption.options import require_between, take_range
from fracture_vae.transforms.corruption.spline import field

KINDS = (0.5, 0.3, 0.2)
"""How often a wedge, a biconcave body and a crush are drawn."""
BICONCAVE = 1
WIDTHS, DEPTHS = (0.75, 1.1), (0.7, 1.0)
"""Half width and half depth of a body, as shares of its height."""
NEXT = (1.2, 1.45)
"""How far away the next body is, in heights."""
DISC = (0.25, 0.45)
"""Height of a disc, as a share of a body's."""
REACH = (1.2, 2.8)
"""Half widths from a body's axis to which what follows a broken endplate moves in full, and from which not at all."""
RIPPLES, WAVES = 7, 5
"""Coefficients, an axis, of the unevenness of a broken endplate, and of how any image wavers."""


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


class Bone(NamedTuple):
    """How dense a body is made, broken or not; (B,)."""

    packing: Tensor
    """Relative gain of the whole body."""
    band: Tensor
    """Added under the upper endplate, in units of the normalised intensity."""
    depth: Tensor
    """Thickness of that band, as a share of the body's height."""


class Wobble(NamedTuple):
    """How every image is resampled along z, broken or not, so that the resampling gives nothing away; (B,)."""

    stretch: Tensor
    """Relative."""
    shift: Tensor
    """Voxels."""
    waves: Tensor
    """(B, 1, WAVES, WAVES, WAVES): spline coefficients, in voxels."""


class CollapseParams(NamedTuple):
    """One drawn collapse an image."""

    plates: Endplates
    middle: Tensor
    """(B, 2): of the body in x and y, in voxels."""
    half: Tensor
    """(B, 2): its half width and half depth, in voxels."""
    disc: Tensor
    """(B,): height of the discs, in voxels."""
    own: Sinking
    next: Sinking
    bone: Bone
    wobble: Wobble


@CORRUPTIONS.add_def("collapse", "a vertebral body in the middle of a crop loses height: wedge, biconcave or crush")
@dataclass(frozen=True)
class Collapse:
    """Squeezes the vertebral body in the middle of a crop along z, and draws what is above and below after it.

    For crops around one vertebra in RAS: axis 1 runs from back to front, axis 2 from foot to head. No mask is
    needed: the endplates are found in the image. The kinds are Genant's (Genant et al. 1993, J Bone Miner Res 8(9)): a
    wedge loses height in front, a biconcave body in its middle, a crush everywhere.

    A network must learn lost height, not the traces of how it was made. So whole images are resampled and given
    denser bone as broken ones are, and bodies beside the middle break without being part of the truth.

    Args:
        loss: the range of the share of height lost where most is.
        clean: the share of images whose middle body stays whole.
        neighbours: the share of images, whole and broken, in which the body above or below breaks too.

    Raises:
        InputError: for an impossible range or share; a loss must stay below 0.8.
    """

    loss: tuple[float, float] = (0.16, 0.6)
    clean: float = 0.5
    neighbours: float = 0.25

    dims: ClassVar[tuple[int, ...]] = (3,)

    def __post_init__(self) -> None:
        take_range(self, "loss", 0, 0.8)
        require_between(self, "clean", 0, 1)
        require_between(self, "neighbours", 0, 1)

    @classmethod
    def example(cls) -> "Collapse":
        """Return a strong one."""
        return cls(loss=(0.4, 0.6), clean=0.0)

    def draw(self, images: Tensor, generator: torch.Generator) -> CollapseParams:
        """Find the endplates of each image's body and draw how it, and one beside it, collapses."""
        batch = len(images)

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.rand(batch, *shape, generator=generator) * (high - low) + low

        def chosen(share: float) -> Tensor:
            return (torch.rand(batch, generator=generator) < share).float()

        def sinking(rise: Tensor, broken: Tensor) -> Sinking:
            kind = torch.multinomial(torch.tensor(KINDS), batch, replacement=True, generator=generator)
            share = torch.where(kind == BICONCAVE, uniform(0.4, 0.8), uniform(0.6, 1.0))
            above = torch.where(kind == BICONCAVE, uniform(0.0, 0.5), uniform(0.5, 1.0))
            return Sinking(
                rise=rise,
                kind=kind,
                loss=uniform(*self.loss) * broken,
                hinge=uniform(-1.0, -0.3),
                hollow=torch.stack([uniform(-0.2, 0.2, 2), uniform(0.5, 0.8, 2)], dim=1),
                lean=uniform(-0.2, 0.2),
                share=torch.where(chosen(0.15) > 0, 1 - share, share),
                follow=torch.stack([above, uniform(0.0, 0.6)], dim=1),
                ripples=torch.randn(batch, 1, RIPPLES, RIPPLES, generator=generator),
            )

        plates = find_endplates(images)
        height = plates.upper - plates.lower
        expected = torch.tensor(MIDDLE[:2]) * (torch.tensor(images.shape[2:4]) - 1)
        sides = torch.where(chosen(0.5) > 0, 1.0, -1.0)
        return CollapseParams(
            plates=plates,
            middle=expected + uniform(-0.1, 0.1, 2) * height[:, None],
            half=torch.stack([uniform(*WIDTHS), uniform(*DEPTHS)], dim=1) * height[:, None],
            disc=uniform(*DISC) * height,
            own=sinking(torch.zeros(batch), 1 - chosen(self.clean)),
            next=sinking(sides * uniform(*NEXT), chosen(self.neighbours)),
            bone=Bone(
                packing=chosen(0.6) * uniform(0.0, 0.7),
                band=chosen(0.3) * uniform(0.02, 0.14),
                depth=uniform(0.1, 0.3),
            ),
            wobble=Wobble(
                stretch=uniform(-0.06, 0.06),
                shift=uniform(-1.5, 1.5),
                waves=0.3 * torch.randn(batch, 1, WAVES, WAVES, WAVES, generator=generator),
            ),
        )

    def apply(self, images: Tensor, params: CollapseParams) -> Corrupted:
        """Read each voxel of a column from where it was before the endplates approached each other.

        One after the other: the wobble, the middle body's collapse, and the one beside it.
        """
        params = _on(images.device, params)
        places = _places(params, images.shape[2:])
        now = _wobbled(params.wobble, images.shape)
        own, beside = _fall(params, params.own, places), _fall(params, params.next, places)
        source = _before(_before(now, own), beside)
        inside, weight = _inside(now, own, places.radius)
        image = _read(images, source[:, None]) * (1 + _column(params.bone.packing) * weight)[:, None]
        depth = _column(params.bone.depth * (params.plates.upper - params.plates.lower))
        band = ((now - own.upper_now) / 1.0 + depth).clamp(0, 1) * _column(params.bone.band) * weight
        truth = inside & (_column(params.own.loss) > 0)
        return Corrupted((image + band[:, None]).clamp(0, 1), truth[:, None].to(images.dtype))


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


def _places(params: CollapseParams, size: torch.Size) -> Places:
    device = params.middle.device
    x, y = (torch.arange(n, device=device) - params.middle[:, i, None] for i, n in enumerate(size[:2]))
    across, along = x / params.half[:, :1], y / params.half[:, 1:]
    shape = (len(x), x.shape[1], y.shape[1])
    return Places(*(line.expand(shape) for line in (across[:, :, None], along[:, None, :], y[:, None, :])))


def _fall(params: CollapseParams, sinking: Sinking, places: Places) -> Fall:
    """Return how a body's columns move when it sinks."""
    plates, tilt = params.plates, _plane(params.plates.slope) * places.forward
    height = plates.upper - plates.lower
    raised = sinking.rise * height
    sunk = _sunk(sinking, places) * _plane(height)
    upper, lower = _plane(sinking.share) * sunk, (1 - _plane(sinking.share)) * sunk
    near = ((REACH[1] - places.radius) / (REACH[1] - REACH[0])).clamp(0, 1)
    above, below = (
        (_level(moved, places) * _plane(share)).clamp(min=-1) * near
        for moved, share in zip((upper, lower), sinking.follow.unbind(1), strict=True)
    )
    upper_now = _plane(plates.upper + raised) + tilt - upper
    lower_now = _plane(plates.lower + raised) + tilt + lower
    return Fall(*(part[..., None] for part in (upper_now, lower_now, upper, lower, above, below)), _column(params.disc))


def _sunk(sinking: Sinking, places: Places) -> Tensor:
    """Return the share of its height that each column (B, X, Y) loses, at most 0.7."""
    across, along, radius = places.across, places.along, places.radius
    hinge = _plane(sinking.hinge)
    wedge = ((along - hinge) / (0.85 - hinge)).clamp(0, 1.2)
    (deep_u, deep_v), (wide_u, wide_v) = (
        [_plane(part) for part in pair.unbind(1)] for pair in sinking.hollow.unbind(1)
    )
    hollow = torch.exp(-(((across - deep_u) / wide_u).abs() ** 2.5) - ((along - deep_v) / wide_v).abs() ** 2.5)
    shapes = torch.stack([wedge, hollow, torch.ones_like(wedge)], dim=1)
    shape = shapes[torch.arange(len(shapes), device=shapes.device), sinking.kind]
    lines = [part * (RIPPLES - 1) / 4 + (RIPPLES - 1) / 2 for part in (across[:, :, 0], along[:, 0, :])]
    uneven = (1 + _plane(sinking.lean) * across) * (1 + 0.08 * field(sinking.ripples, lines)[:, 0])
    edge = ((1.25 - radius) / 0.25).clamp(0, 1)
    return (_plane(sinking.loss) * shape * uneven).clamp(0, 0.7) * edge


def _level(moved: Tensor, places: Places) -> Tensor:
    """Return the plane, rising towards the front, nearest to (B, X, Y) ``moved`` over the body: a vertebra is stiff."""
    inner = (places.radius < 1).to(moved.dtype)
    count = inner.sum((1, 2)).clamp(min=1)
    middle, mean = (inner * places.along).sum((1, 2)) / count, (inner * moved).sum((1, 2)) / count
    away = inner * (places.along - _plane(middle))
    rise = (away * moved).sum((1, 2)) / (away * places.along).sum((1, 2)).clamp(min=1e-3)
    return _plane(mean) + _plane(rise) * (places.along.clamp(-3, 1.5) - _plane(middle))


def _before(z: Tensor, fall: Fall) -> Tensor:
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


def _inside(z: Tensor, fall: Fall, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the body is now (bool), and the same softened at its walls, (B, X, Y, Z)."""
    between = (z > fall.lower_now) & (z < fall.upper_now)
    soft = ((1.05 - radius) / 0.15).clamp(0, 1)[..., None]
    return between & (radius[..., None] < 1.05), between * soft


def _wobbled(wobble: Wobble, shape: torch.Size) -> Tensor:
    """Return (B, X, Y, Z), where each voxel is read along z before anything breaks."""
    device = wobble.shift.device
    z = torch.arange(shape[4], device=device, dtype=wobble.shift.dtype)
    lines = [torch.linspace(0, WAVES - 1, size, device=device).expand(shape[0], -1) for size in shape[2:]]
    return z + _column(wobble.shift) + _column(wobble.stretch) * (z - z.mean()) + field(wobble.waves, lines)[:, 0]


def _read(images: Tensor, source: Tensor) -> Tensor:
    """Return (B, C, X, Y, Z) ``images`` read at the places ``source`` (B, 1, X, Y, Z) along z, linearly."""
    source = source.clamp(0, images.shape[4] - 1).expand_as(images)
    below = source.floor().clamp(max=images.shape[4] - 2)
    index = below.long()
    return torch.lerp(images.gather(4, index), images.gather(4, index + 1), source - below)


def _plane(values: Tensor) -> Tensor:
    return values[:, None, None]


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _on(device: torch.device, params: CollapseParams) -> CollapseParams:
    moved = (
        part.to(device) if isinstance(part, Tensor) else type(part)(*(p.to(device) for p in part)) for part in params
    )
    return CollapseParams(*moved)
