"""Reconstruction through a quantized bottleneck, the objective of the VQ-VAE."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.losses import SSIMLoss
from torch import Tensor, nn

from fracture_vae.errors import InputError, nearest
from fracture_vae.networks import VQVAE, VQVAEConfig, build_quantizer
from fracture_vae.objectives.scale import require_reduction
from fracture_vae.registry import OBJECTIVES

DISTANCES = ("l1", "l2")
STRUCTURES = ("none", "ssim", "gradient")


class VQTerms(NamedTuple):
    """Loss terms, each a scalar and a mean over the images of the batch."""

    total: Tensor
    recon: Tensor  # distance between image and reconstruction: mean over valid voxels, or their sum (``per_image``)
    vq: Tensor  # codebook and commitment terms of the quantizer
    structure: Tensor  # SSIM or gradient term before its weight; 0 when switched off


@OBJECTIVES.add_def("vq_reconstruction", "L1 or L2 reconstruction + quantizer loss, optional SSIM or gradient term")
class VQReconstruction(nn.Module):
    """total = distance + vq + structure_weight · structure (van den Oord et al. 2017, eq. 3, for the first two).

    Args:
        network: a VQ-VAE; its ``reconstruct(x)`` gives reconstruction, quantizer loss and codes.
        distance: ``l1`` (mean absolute difference) or ``l2`` (mean squared difference), per voxel in [0, 1].
        structure: ``none``, ``ssim`` (1 - SSIM, MONAI's, window 7) or ``gradient`` (mean absolute difference of
            finite differences along each axis; Mathieu et al. 2016, eq. 6 with α = 1).
        structure_weight: weight of that term.
        reduction: ``mean`` or ``sum`` over an image's values of the distance in the total.
        per_image: report the distance as a sum over an image's values whatever the reduction, as the autoencoders
            and VAEs do; by default as the mean over them, which volumes of any size have in common.

    Raises:
        InputError: for an unknown distance, structure or reduction.
    """

    def __init__(
        self,
        network: VQVAE,
        distance: str = "l1",
        structure: str = "none",
        structure_weight: float = 0.1,
        reduction: str = "mean",
        per_image: bool = False,
    ) -> None:
        super().__init__()
        require_reduction(reduction)
        for name, value, known in (("distance", distance, DISTANCES), ("structure", structure, STRUCTURES)):
            if value not in known:
                raise InputError(f"{name} '{value}' is not one of {', '.join(known)}{nearest(value, known)}")
        self.network = network
        self.distance = distance
        self.structure = structure
        self.structure_weight = structure_weight
        self.reduction = reduction
        self.per_image = per_image
        self._ssim = SSIMLoss(network.config.spatial_dims, win_size=7) if structure == "ssim" else None

    term_names = VQTerms._fields

    def forward(self, batch: Mapping[str, Tensor]) -> VQTerms:
        """Return the terms for ``batch["image"]`` of shape (B, C, *spatial) in [0, 1].

        ``batch["valid"]`` (same shape, 1 inside the image, 0 in its padding), where given, restricts ``recon``;
        for ``structure`` both images are 0 outside it.
        """
        image = batch["image"]
        out = self.network.reconstruct(image)
        reconstruction = out.reconstruction.float()
        valid = batch.get("valid")
        mean, summed = self._distance(reconstruction, image.float(), valid)
        structure = self._structure(reconstruction, image.float(), valid)
        minimised = summed if self.reduction == "sum" else mean
        total = minimised + out.vq_loss + self.structure_weight * structure
        return VQTerms(total, summed if self.per_image else mean, out.vq_loss, structure)

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

    @staticmethod
    def example() -> tuple["VQReconstruction", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        config = VQVAEConfig(spatial_dims=2, channels=(4, 8))
        network = VQVAE(config, build_quantizer("vq", num_codes=8, dim=8))
        return VQReconstruction(network), {"image": torch.rand(2, 1, 16, 16)}


def gradient_difference(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean over axes of mean |∂a - ∂b|, forward differences, for (B, C, *spatial) tensors."""
    axes = range(2, a.dim())
    return torch.stack([F.l1_loss(a.diff(dim=axis), b.diff(dim=axis)) for axis in axes]).mean()
