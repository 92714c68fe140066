"""Vertebral bodies that lose height: a field of compression along the spine, in the middle of a crop."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted, changed
from fracture_vae.transforms.corruption.blobs import smooth_step
from fracture_vae.transforms.corruption.box import Box, box_around, cut, paste, shape_for
from fracture_vae.transforms.corruption.options import take_range
from fracture_vae.transforms.corruption.spline import field

MIDDLE = (0.5, 0.6, 0.52)
"""Where a body's middle is expected in a crop around its vertebra's centroid, as shares of the axes: behind and below
it lie arch and processes."""
HALF = (0.19, 0.13)
"""Half width and half depth of a body, as shares of the axes (24 and 17 mm of 128)."""
FADE = 0.6
"""Over which share of them, outside the body, the motion fades."""
ENDPLATES = (0.06, 0.16)
"""How far from the middle endplates are looked for, as shares of the axis (8 to 20 mm of 128)."""
WEDGE, BICONCAVE, CRUSH = range(3)
RIPPLES = 7
"""Coefficients, an axis, of the unevenness of an endplate that has sunk."""


class CollapseParams(NamedTuple):
    """One drawn collapse an image."""

    bottom: Tensor
    """(B,): the lower endplate, in voxels."""
    top: Tensor
    """(B,): the upper endplate."""
    middle: Tensor
    """(B, 2): of the body in x and y, in voxels."""
    half: Tensor
    """(B, 2): its half width and half depth, in voxels."""
    kind: Tensor
    """(B,) int64: 0 wedge, 1 biconcave, 2 crush."""
    loss: Tensor
    """(B,): share of the height lost where most is."""
    upper: Tensor
    """(B,): the upper endplate's share of it."""
    impaction: Tensor
    """(B,): 0 leaves the density alone, 1 keeps a column's mineral."""
    ripples: Tensor
    """(B, 1, RIPPLES, RIPPLES): spline coefficients."""


@CORRUPTIONS.add_def("collapse", "a vertebral body in the middle of a crop loses height: wedge, biconcave or crush")
@dataclass(frozen=True)
class Collapse:
    """Squeezes the vertebral body in the middle of a crop along z, and draws what is above and below after it.

    For crops around one vertebra in RAS: axis 1 runs from back to front, axis 2 from foot to head. No mask is
    needed: the endplates are the bright slices above and below the middle. The kinds are Genant's (Genant et al. 1993,
    J Bone Miner Res 8(9)): a wedge loses height in front, a biconcave body in its middle, a crush everywhere.

    Args:
        loss: the range of the share of height lost where most is.

    Raises:
        InputError: for an impossible range; a loss must stay below 0.8.
    """

    loss: tuple[float, float] = (0.1, 0.6)

    dims: ClassVar[tuple[int, ...]] = (3,)

    def __post_init__(self) -> None:
        take_range(self, "loss", 0, 0.8)

    @classmethod
    def example(cls) -> "Collapse":
        """Return a strong one."""
        return cls(loss=(0.4, 0.6))

    def draw(self, images: Tensor, generator: torch.Generator) -> CollapseParams:
        """Find the endplates of each image's body and draw how it collapses."""

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.rand(len(images), *shape, generator=generator) * (high - low) + low

        size = torch.tensor(images.shape[2:])
        bottom, top = endplates(images)
        return CollapseParams(
            bottom=bottom,
            top=top,
            middle=(torch.tensor(MIDDLE[:2]) + uniform(-0.02, 0.02, 2)) * (size[:2] - 1),
            half=torch.tensor(HALF) * uniform(0.85, 1.15, 2) * size[:2],
            kind=torch.randint(3, (len(images),), generator=generator),
            loss=uniform(*self.loss),
            upper=uniform(0.3, 1.0),
            impaction=uniform(0.0, 0.8),
            ripples=torch.randn(len(images), 1, RIPPLES, RIPPLES, generator=generator),
        )

    def apply(self, images: Tensor, params: CollapseParams) -> Corrupted:
        """Read each voxel of a column from where it was before the endplates approached each other.

        A column of the body that loses Δ of its height H is read at H / (H - Δ) times the distance from its lower
        endplate. What the endplates draw after them moves less and less towards the ends of the crop, where nothing
        does, so that nothing folds and nothing is read from outside. The truth is the body alone.
        """
        params = CollapseParams(*(value.to(images.device) for value in params))
        box = _columns(params, images.shape[2:])
        share, body = _plan(params, box)
        bottom, top = params.bottom[:, None, None, None], params.top[:, None, None, None]
        height, lost = top - bottom, share[..., None] * (top - bottom)
        upper = params.upper[:, None, None, None]
        z = torch.arange(images.shape[4], device=images.device, dtype=images.dtype)
        lower_now, upper_now = bottom + (1 - upper) * lost, top - upper * lost
        within = (z >= lower_now) & (z <= upper_now)
        above = z + upper * lost * (images.shape[4] - 1 - z) / (images.shape[4] - 1 - upper_now).clamp(min=1)
        below = z - (1 - upper) * lost * z / lower_now.clamp(min=1)
        squeezed = bottom + (z - lower_now) * height / (height - lost)
        source = torch.where(within, squeezed, torch.where(z > upper_now, above, below))
        region = cut(images, box)
        moved = _read(region, source[:, None])
        denser = within * body[..., None] * params.impaction[:, None, None, None] * (height / (height - lost) - 1)
        moved = (moved * (1 + denser[:, None])).clamp(max=1)
        moved = torch.where((lost > 0)[:, None], moved, region)
        truth = changed(region, moved, (within & (body[..., None] > 0.5))[:, None])
        return Corrupted(paste(images, box, moved), paste(torch.zeros_like(images[:, :1]), box, truth))


def endplates(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each of (B, C, H, W, D) ``images`` the lower and the upper endplate (B,), in voxels along z.

    Either is the brightest slice, over the middle of the body, in its stretch of the crop; the nearer one of two.
    """
    across, along = (
        slice(round(size * (middle - 0.07)), round(size * (middle + 0.07)) + 1)
        for size, middle in zip(images.shape[2:4], MIDDLE[:2], strict=True)
    )
    profile = images[:, 0, across, along].mean((1, 2)).cpu()
    size = profile.shape[1]
    middle, (near, far) = round(MIDDLE[2] * (size - 1)), (round(share * size) for share in ENDPLATES)
    farness = torch.arange(far - near + 1) / max(far - near, 1)
    preference = 1 - 0.35 * farness
    up = profile[:, middle + near : middle + far + 1] * preference
    down = profile[:, middle - far : middle - near + 1].flip(1) * preference
    return (middle - near - down.argmax(1)).float(), (middle + near + up.argmax(1)).float()


def _columns(params: CollapseParams, size: torch.Size) -> Box:
    """Return the box of all columns that move."""
    reach = (params.half * (1 + FADE)).cpu()
    plane = box_around(params.middle.cpu(), shape_for(reach, size[:2]), size[:2])
    start = torch.cat([plane.start, torch.zeros(len(reach), 1, dtype=torch.long)], dim=1)
    return Box(start.to(params.middle.device), (*plane.shape, size[2]))


def _plan(params: CollapseParams, box: Box) -> tuple[Tensor, Tensor]:
    """Return two maps over x and y (B, X, Y): the share of height lost, and 1 in the body, 0 beyond its walls."""
    plane = Box(box.start[:, :2], box.shape[:2])
    halves = params.half.unbind(1)
    lines = [offset / half[:, None] for offset, half in zip(plane.offsets(params.middle), halves, strict=True)]
    x, y = lines[0][:, :, None], lines[1][:, None, :]
    radius = (x.abs() ** 2.5 + y.abs() ** 2.5) ** 0.4
    moves = smooth_step((1 + FADE - radius) / FADE)
    kinds = torch.stack(
        [
            ((y + 0.9) / 1.8).clamp(0, 1).expand_as(radius),
            torch.exp(-((radius / 0.75) ** 2.5)),
            torch.ones_like(radius),
        ],
        dim=1,
    )
    kind = kinds[torch.arange(len(kinds), device=kinds.device), params.kind]
    spacing = 4 / (RIPPLES - 1)
    ripple = field(params.ripples, [line / spacing + (RIPPLES - 1) / 2 for line in lines]).clamp(-2, 2)
    share = params.loss[:, None, None] * kind * moves * (1 + 0.12 * ripple[:, 0])
    return share.clamp(0, 0.85), smooth_step((1.3 - radius) / 0.4)


def _read(region: Tensor, source: Tensor) -> Tensor:
    """Return ``region`` (B, C, X, Y, Z) read at the places ``source`` (B, 1, X, Y, Z) along z, linearly."""
    source = source.clamp(0, region.shape[4] - 1).expand_as(region)
    below = source.floor().clamp(max=region.shape[4] - 2)
    index = below.long()
    return torch.lerp(region.gather(4, index), region.gather(4, index + 1), source - below)
