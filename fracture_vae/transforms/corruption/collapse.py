"""Vertebral bodies that lose height: a field of compression along the spine, in the middle of a crop."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted
from fracture_vae.transforms.corruption.endplates import MIDDLE, find_endplates
from fracture_vae.transforms.corruption.options import require_between, take_range
from fracture_vae.transforms.corruption.sinking import (
    BICONCAVE,
    RIPPLES,
    Body,
    Fall,
    Sinking,
    before,
    column,
    fall_of,
    places_of,
)
from fracture_vae.transforms.corruption.spline import field

KINDS = (0.5, 0.3, 0.2)
"""How often a wedge, a biconcave body and a crush are drawn."""
WIDTHS, DEPTHS = (0.75, 1.1), (0.7, 1.0)
"""Half width and half depth of a body, as shares of its height."""
NEXT = (1.2, 1.45)
"""How far away the next body is, in heights."""
DISC = (0.25, 0.45)
"""Height of a disc, as a share of a body's."""
WAVES = 5
"""Coefficients, an axis, of how any image wavers."""


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

    body: Body
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

        def sent(drawn: Tensor) -> Tensor:
            return drawn.to(images.device, non_blocking=True)

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return sent(torch.rand(batch, *shape, generator=generator) * (high - low) + low)

        def chosen(share: float) -> Tensor:
            return sent((torch.rand(batch, generator=generator) < share).float())

        def sinking(rise: Tensor, broken: Tensor) -> Sinking:
            kind = sent(torch.multinomial(torch.tensor(KINDS), batch, replacement=True, generator=generator))
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
                ripples=sent(torch.randn(batch, 1, RIPPLES, RIPPLES, generator=generator)),
            )

        plates = find_endplates(images)
        height = plates.upper - plates.lower
        expected = sent(torch.tensor(MIDDLE[:2]) * (torch.tensor(images.shape[2:4]) - 1))
        sides = torch.where(chosen(0.5) > 0, 1.0, -1.0)
        return CollapseParams(
            body=Body(
                plates=plates,
                middle=expected + uniform(-0.1, 0.1, 2) * height[:, None],
                half=torch.stack([uniform(*WIDTHS), uniform(*DEPTHS)], dim=1) * height[:, None],
                disc=uniform(*DISC) * height,
            ),
            own=sinking(torch.zeros(batch, device=images.device), 1 - chosen(self.clean)),
            next=sinking(sides * uniform(*NEXT), chosen(self.neighbours)),
            bone=Bone(
                packing=chosen(0.6) * uniform(0.0, 0.7),
                band=chosen(0.3) * uniform(0.02, 0.14),
                depth=uniform(0.1, 0.3),
            ),
            wobble=Wobble(
                stretch=uniform(-0.06, 0.06),
                shift=uniform(-1.5, 1.5),
                waves=sent(0.3 * torch.randn(batch, 1, WAVES, WAVES, WAVES, generator=generator)),
            ),
        )

    def apply(self, images: Tensor, params: CollapseParams) -> Corrupted:
        """Read each voxel of a column from where it was before the endplates approached each other.

        One after the other: the wobble, the middle body's collapse, and the one beside it.
        """
        params = _moved(params, images.device)
        body, places = params.body, places_of(params.body, images.shape[2:])
        now = _wobbled(params.wobble, images.shape)
        own, beside = fall_of(body, params.own, places), fall_of(body, params.next, places)
        source = before(before(now, own), beside)
        inside, weight = _inside(now, own, places.radius)
        image = _read(images, source[:, None]) * (1 + column(params.bone.packing) * weight)[:, None]
        depth = column(params.bone.depth * body.height)
        band = (now - own.upper_now + depth).clamp(0, 1) * column(params.bone.band) * weight
        truth = inside & (column(params.own.loss) > 0)
        return Corrupted((image + band[:, None]).clamp(0, 1), truth[:, None].to(images.dtype))


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
    return z + column(wobble.shift) + column(wobble.stretch) * (z - z.mean()) + field(wobble.waves, lines)[:, 0]


def _read(images: Tensor, source: Tensor) -> Tensor:
    """Return (B, C, X, Y, Z) ``images`` read at the places ``source`` (B, 1, X, Y, Z) along z, linearly."""
    source = source.clamp(0, images.shape[4] - 1).expand_as(images)
    below = source.floor().clamp(max=images.shape[4] - 2)
    index = below.long()
    return torch.lerp(images.gather(4, index), images.gather(4, index + 1), source - below)


def _moved(params: Any, device: torch.device) -> Any:
    if isinstance(params, Tensor):
        return params.to(device, non_blocking=True)
    return type(params)(*(_moved(part, device) for part in params))
