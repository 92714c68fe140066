"""How far a reconstruction lies from its image: distance of values, and of structure."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.losses import SSIMLoss
from torch import Tensor, nn

from fracture_vae.errors import InputError, nearest

DISTANCES = ("l1", "l2")
STRUCTURES = ("none", "ssim", "gradient")


class Deviation(NamedTuple):
    """How far a reconstruction lies from its image, each a scalar and a mean over the images of the batch."""

    mean: Tensor  # distance, mean over an image's (valid) values
    summed: Tensor  # distance, sum over them
    structure: Tensor  # SSIM or gradient term; 0 when switched off


class Fidelity(nn.Module):
    """Distance and structure, compared inside the image only.

    Args:
        distance: ``l1`` (absolute difference) or ``l2`` (squared difference), per voxel in [0, 1].
        structure: ``none``, ``ssim`` (1 - SSIM, MONAI's, window 7) or ``gradient`` (mean absolute difference of
            finite differences along each axis; Mathieu et al. 2016, eq. 6 with α = 1).
        spatial_dims: 2 or 3.

    Raises:
        InputError: for an unknown distance or structure.
    """

    def __init__(self, distance: str, structure: str, spatial_dims: int) -> None:
        super().__init__()
        for name, value, known in (("distance", distance, DISTANCES), ("structure", structure, STRUCTURES)):
            if value not in known:
                raise InputError(f"{name} '{value}' is not one of {', '.join(known)}{nearest(value, known)}")
        self.distance = distance
        self.structure = structure
        self._ssim = SSIMLoss(spatial_dims, win_size=7) if structure == "ssim" else None

    def forward(self, reconstruction: Tensor, image: Tensor, valid: Tensor | None) -> Deviation:
        """Compare (B, C, \\*spatial) twice; ``valid`` (same shape) is 1 inside the image and 0 in its padding."""
        reconstruction, image = reconstruction.float(), image.float()
        return Deviation(*self._distance(reconstruction, image, valid), self._structure(reconstruction, image, valid))

    def _distance(self, reconstruction: Tensor, image: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and sum over an image's (valid) values, each a mean over the images."""
        difference = (reconstruction - image).abs() if self.distance == "l1" else (reconstruction - image).square()
        if valid is None:
            mean = difference.mean()
            return mean, mean * difference[0].numel()
        axes = tuple(range(1, difference.dim()))
        summed = (difference * valid).sum(axes)
        return (summed / valid.sum(axes)).mean(), summed.mean()

    def _structure(self, reconstruction: Tensor, image: Tensor, valid: Tensor | None) -> Tensor:
        if valid is not None:
            reconstruction, image = reconstruction * valid, image * valid
        if self._ssim is not None:
            with torch.autocast(image.device.type, enabled=False):  # its variances cancel in bfloat16
                return self._ssim(reconstruction, image)
        if self.structure == "gradient":
            return gradient_difference(reconstruction, image)
        return reconstruction.new_zeros(())


def gradient_difference(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean over axes of mean \\|∂a - ∂b\\|, forward differences, for (B, C, \\*spatial) tensors."""
    axes = range(2, a.dim())
    return torch.stack([F.l1_loss(a.diff(dim=axis), b.diff(dim=axis)) for axis in axes]).mean()
