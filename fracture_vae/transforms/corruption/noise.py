"""Coarse noise in all tissue, as a denoising autoencoder learns to remove it."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted, changed
from fracture_vae.transforms.corruption.filters import strongest
from fracture_vae.transforms.corruption.options import require_between, take_range
from fracture_vae.transforms.corruption.spline import field


class CoarseNoiseParams(NamedTuple):
    """One drawn field an image."""

    std: Tensor
    """(B,)."""
    shift: Tensor
    """(B, D), of the coarse grid, in cells."""
    coefficients: Tensor
    """(B, C, *coarse), standard normal."""


@CORRUPTIONS.add_def("coarse_noise", "low-resolution Gaussian noise in all tissue (Kascenas et al. 2022)")
@dataclass(frozen=True)
class CoarseNoise:
    """Adds smooth Gaussian noise wherever an image is positive.

    Kascenas, Pugeault & O'Neil 2022, "Denoising Autoencoders for Unsupervised Anomaly Detection in Brain MRI"
    (MIDL): noise drawn on a 16 x 16 grid for images of 128, enlarged and moved at random. Here a cubic B-spline
    enlarges it, which leaves no kinks, and the standard deviation is the same everywhere.

    Args:
        cell: distance of the coarse grid's points, in voxels.
        std: the range of its standard deviation, in units of the normalised intensity.

    Raises:
        InputError: for a cell below 1 or an impossible range.
    """

    cell: float = 8.0
    std: tuple[float, float] = (0.2, 0.2)

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __post_init__(self) -> None:
        require_between(self, "cell", 1, 1024)
        take_range(self, "std", 0, 10)

    @classmethod
    def example(cls) -> "CoarseNoise":
        """Return a small one."""
        return cls(cell=4)

    def draw(self, images: Tensor, generator: torch.Generator) -> CoarseNoiseParams:
        """Draw a field for each image."""
        batch, channels, *size = images.shape
        low, high = self.std
        coarse = [math.ceil(length / self.cell) + 4 for length in size]
        return CoarseNoiseParams(
            std=torch.rand(batch, generator=generator) * (high - low) + low,
            shift=torch.rand(batch, len(size), generator=generator),
            coefficients=torch.randn(batch, channels, *coarse, generator=generator),
        )

    def apply(self, images: Tensor, params: CoarseNoiseParams) -> Corrupted:
        """Add the noise where an image is positive."""
        std, shift, coefficients = (value.to(images.device, non_blocking=True) for value in params)
        positions = [
            torch.arange(size, device=images.device) / self.cell + 1 + shift[:, axis, None]
            for axis, size in enumerate(images.shape[2:])
        ]
        scaled = coefficients * std.reshape(-1, *[1] * (images.dim() - 1))
        noisy = field(scaled, positions).mul_(images > 0).add_(images).clamp_(0, 1)
        return Corrupted(noisy, changed(images, noisy, strongest(images)))
