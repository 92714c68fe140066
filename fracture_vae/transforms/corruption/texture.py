"""Texture that is not the tissue's own, or is lost."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted
from fracture_vae.transforms.corruption.blobs import REACH, Blobs, draw_blobs, to_device
from fracture_vae.transforms.corruption.filters import local_mean
from fracture_vae.transforms.corruption.local import changed_in, inside
from fracture_vae.transforms.corruption.options import require_between, take_range
from fracture_vae.transforms.corruption.spline import field

LARGEST = 0.7
"""Largest standard deviation of the noise, as a share of the local brightness; more would be cut off at black."""


class TextureParams(NamedTuple):
    """One drawn texture an image."""

    blobs: Blobs
    std: Tensor
    """(B,) of the noise; 0 where texture is lost."""
    loss: Tensor
    """(B,) share of the texture that is lost, 0 where noise is added."""
    scale: Tensor
    """(B,) distance of the noise's coefficients, in voxels."""
    coefficients: Tensor
    """(B, 1, *coarse)."""


@CORRUPTIONS.add_def("texture", "band-limited noise in a blob, or a blob whose texture is lost")
@dataclass(frozen=True)
class Texture:
    """Adds noise of one scale in a smooth random blob, or smooths what is there; brightness stays on average.

    Args:
        size: the range of the blob's longest diameter, as a share of the shortest axis.
        std: the range of the noise's standard deviation, in units of the normalised intensity.
        scale: the range of the noise's scale in voxels; a structure is about twice as wide.
        smoothed: the share of blobs that lose their texture.

    Raises:
        InputError: for an impossible range.
    """

    size: tuple[float, float] = (0.08, 0.3)
    std: tuple[float, float] = (0.05, 0.2)
    scale: tuple[float, float] = (1.0, 3.0)
    smoothed: float = 0.3

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __post_init__(self) -> None:
        take_range(self, "size", 0.01, 1)
        take_range(self, "std", 0, 10)
        take_range(self, "scale", 1, 64)
        require_between(self, "smoothed", 0, 1)

    @classmethod
    def example(cls) -> "Texture":
        """Return a strong one."""
        return cls(std=(0.2, 0.3))

    def draw(self, images: Tensor, generator: torch.Generator) -> TextureParams:
        """Draw a texture for each image."""
        batch, dims = len(images), images.dim() - 2
        blobs = draw_blobs(images, self.size, generator, structured=True)
        (least, most), (low, high) = self.std, self.scale
        std = torch.rand(batch, generator=generator) * (most - least) + least
        lost = torch.rand(batch, generator=generator) < self.smoothed
        coarse = math.ceil(2 * REACH * blobs.radii.max().item() / low) + 4
        return TextureParams(
            blobs=blobs,
            std=torch.where(lost, 0.0, std),
            loss=torch.where(lost, torch.rand(batch, generator=generator) * 0.5 + 0.5, 0.0),
            scale=torch.rand(batch, generator=generator) * (high - low) + low,
            coefficients=torch.randn(batch, 1, *[coarse] * dims, generator=generator),
        )

    def apply(self, images: Tensor, params: TextureParams) -> Corrupted:
        """Add noise to, or take texture from, the inside of the blob."""
        dims = images.dim() - 2
        place = inside(images, params.blobs)
        blobs, _ = to_device(params.blobs, place.box, images.device)
        std, loss, scale, coefficients = (value.to(images.device, non_blocking=True) for value in params[1:])
        middle = (coefficients.shape[-1] - 1) / 2
        positions = [line / scale[:, None] + middle for line in place.box.offsets(blobs.centre)]
        noise = field(_without_coarse(coefficients), positions)
        smooth = local_mean(place.region, 5)
        std, loss = (value.reshape(-1, *[1] * (dims + 1)) for value in (std, loss))
        change = torch.minimum(std, LARGEST * smooth) * noise + loss * (smooth - place.region)
        return changed_in(images, place, place.region + place.weight * change)


def _without_coarse(coefficients: Tensor) -> Tensor:
    """Return ``coefficients`` without what varies over more than three of them, so that their field has unit variance.

    With an axis's spline weights w and its mean of three M, the variance left is 1 - 2 (wᵀMw)^D + |Mw|^(2D), where
    wᵀMw is 0.66 and |Mw|² 0.56 on average between two coefficients.
    """
    dims = coefficients.dim() - 2
    left = 1 - 2 * 0.66**dims + 0.56**dims
    return (coefficients - local_mean(coefficients, 3)) / math.sqrt(left)
