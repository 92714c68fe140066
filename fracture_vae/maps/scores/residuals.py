"""Residuals: how an image differs from its reconstruction, voxel by voxel and in coarser and finer structure."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.scores.base import Score
from fracture_vae.maps.scores.seen import Seen
from fracture_vae.registry import SCORES


def l1(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean over channels of |x - x̂|: (B, C, \\*spatial) twice to (B, 1, \\*spatial)."""
    return (image - reconstruction).abs().mean(1, keepdim=True)


def l2(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean over channels of (x - x̂)²: (B, C, \\*spatial) twice to (B, 1, \\*spatial)."""
    return (image - reconstruction).square().mean(1, keepdim=True)


@SCORES.add_def("l1", "absolute difference |x - x̂|, in units of the normalised intensity")
@dataclass(frozen=True)
class L1(Score):
    """|x - x̂|."""

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over channels."""
        return l1(seen.image, seen.reconstruction)


@SCORES.add_def("l2", "squared difference (x - x̂)², in squared units of the normalised intensity")
@dataclass(frozen=True)
class L2(Score):
    """(x - x̂)²."""

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over channels."""
        return l2(seen.image, seen.reconstruction)


@SCORES.add_def("signed", "signed difference x - x̂, or x̂ - x for sign -1, in units of the normalised intensity")
@dataclass(frozen=True)
class Signed(Score):
    """x - x̂: what is brighter than healthy; with ``sign`` -1 what is darker.

    Raises:
        InputError: for another sign.
    """

    sign: int = 1

    def __post_init__(self) -> None:
        if self.sign not in (1, -1):
            raise InputError(f"score 'signed': sign {self.sign!r} must be 1 or -1")

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over channels."""
        return self.sign * (seen.image - seen.reconstruction).mean(1, keepdim=True)


@SCORES.add_def("gradient", "length of the difference of the gradients of x and x̂, in normalised intensity per voxel")
@dataclass(frozen=True)
class Gradient(Score):
    """|∇x - ∇x̂|, by central differences, one-sided at the ends of the grid."""

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over channels."""
        difference = (seen.image - seen.reconstruction).float()
        axes = [axis for axis in range(2, difference.dim()) if difference.shape[axis] > 1]
        slopes = torch.gradient(difference, dim=axes)
        squared = torch.stack([slope.square() for slope in slopes]).sum(0)
        return squared.sqrt().mean(1, keepdim=True)


@SCORES.add_def("multi_scale", "mean over a pyramid of |x - x̂| of the averaged images, in normalised intensity")
@dataclass(frozen=True)
class MultiScale(Score):
    """Mean over ``scales`` of |mean(x) - mean(x̂)|, in blocks of 1, 2, 4, … voxels an axis, interpolated between.

    Differences that alternate, as noise and shifted edges do, vanish from the coarser scales; those that persist over
    a region stay.

    Raises:
        InputError: for a number of scales out of range.
    """

    scales: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.scales, bool) or not isinstance(self.scales, int) or not 1 <= self.scales <= 8:
            raise InputError(f"score 'multi_scale': scales {self.scales!r} must be a whole number from 1 to 8")

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over scales and channels."""
        difference = (seen.image - seen.reconstruction).float()
        spatial = difference.dim() - 2
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[spatial - 1]
        mode = ("linear", "bilinear", "trilinear")[spatial - 1]
        total = difference.abs()
        for scale in range(1, self.scales):
            block = [min(2**scale, size) for size in difference.shape[2:]]
            coarse = pool(difference, block, ceil_mode=True, count_include_pad=False).abs()
            total = total + F.interpolate(coarse, size=difference.shape[2:], mode=mode, align_corners=False)
        return (total / self.scales).mean(1, keepdim=True)
