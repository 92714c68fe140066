"""Tissue that swells, shrinks or is pushed aside."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted, changed
from fracture_vae.transforms.corruption.blobs import Blobs, box_of, depth, draw_blobs, draw_signed, to_device
from fracture_vae.transforms.corruption.box import cut, paste, spatial
from fracture_vae.transforms.corruption.options import require_between, take_range

STEEPEST = 0.65
"""Largest shift in semi-axes; further, the map would fold (see :meth:`Deformation.apply`)."""


class DeformationParams(NamedTuple):
    """One drawn deformation an image."""

    blobs: Blobs
    swell: Tensor
    """(B,): share by which the centre is enlarged (positive) or shrunk; 0 for a shift."""
    push: Tensor
    """(B, D): shift of the centre in voxels; 0 for a bulge."""


@CORRUPTIONS.add_def("deformation", "a smooth local bulge, shrinkage or shift")
@dataclass(frozen=True)
class Deformation:
    """Warps the inside of an ellipsoid smoothly, without folding; its surface and all outside stay.

    Args:
        size: the range of its longest diameter, as a share of the shortest axis.
        strength: the range of the warp's magnitude; 1 would draw the centre out without end, or move it as far as a
            map can without folding.
        shifts: the share of shifts; the others swell or shrink.

    Raises:
        InputError: for an impossible range; strength must stay below 1.
    """

    size: tuple[float, float] = (0.12, 0.45)
    strength: tuple[float, float] = (0.3, 0.85)
    shifts: float = 0.4

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __post_init__(self) -> None:
        take_range(self, "size", 0.01, 1)
        take_range(self, "strength", 0, 0.95)
        require_between(self, "shifts", 0, 1)

    @classmethod
    def example(cls) -> "Deformation":
        """Return a strong one."""
        return cls(size=(0.5, 0.6), strength=(0.7, 0.8))

    def draw(self, images: Tensor, generator: torch.Generator) -> DeformationParams:
        """Draw a deformation for each image."""
        batch, dims = len(images), images.dim() - 2
        blobs = draw_blobs(images, self.size, generator, structured=True)
        strength = draw_signed(self.strength, batch, generator)
        direction = F.normalize(torch.randn(batch, dims, generator=generator), dim=1)
        shifted = torch.rand(batch, generator=generator) < self.shifts
        push = STEEPEST * strength[:, None] * blobs.radii.amin(1, keepdim=True) * direction
        return DeformationParams(
            blobs, torch.where(shifted, 0.0, strength), torch.where(shifted[:, None], push, torch.zeros(()))
        )

    def apply(self, images: Tensor, params: DeformationParams) -> Corrupted:
        """Read each voxel p of the ellipsoid at p - w(ρ) (swell (p - centre) + push), with w = (1 - ρ²)².

        ρ is 0 in the centre and 1 at the surface. With swell in (-1, 1) the radial map ρ (1 - swell w(ρ)) grows
        everywhere; |∇w| is at most 1.54 / radius, so a push of 0.65 radii does not fold either.
        """
        dims = images.dim() - 2
        blobs, box = to_device(params.blobs, box_of(params.blobs, images.shape[2:], reach=1), images.device)
        weight = (1 - (1 - depth(blobs, box)) ** 2).clamp(min=0) ** 2
        swell = params.swell.to(images.device, non_blocking=True).reshape(-1, *[1] * dims)
        lines = []
        for axis, line in enumerate(box.offsets(blobs.centre)):
            offset = spatial(line, axis, dims)
            push = params.push[:, axis].to(images.device, non_blocking=True).reshape(-1, *[1] * dims)
            source = offset - weight[:, 0] * (swell * offset + push)
            middle = (images.shape[2 + axis] - 1) / 2
            lines.append((source + (blobs.centre[:, axis].reshape(push.shape) - middle)) / max(middle, 0.5))
        grid = torch.stack(lines[::-1], dim=-1)  # grid_sample wants the last axis first
        region = cut(images, box)
        warped = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
        warped = torch.where(weight > 0, warped.clamp(0, 1), region)
        truth = changed(region, warped, weight)
        return Corrupted(paste(images, box, warped), paste(torch.zeros_like(images[:, :1]), box, truth))
