"""Reconstruction through a quantized bottleneck, the objective of the VQ-VAE."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.networks import VQVAE, VQVAEConfig, build_quantizer
from fracture_vae.objectives.fidelity import Fidelity
from fracture_vae.objectives.restoring import Restored, seen
from fracture_vae.objectives.scale import require_reduction
from fracture_vae.registry import OBJECTIVES


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
        distance, structure: as for :class:`~fracture_vae.objectives.fidelity.Fidelity`.
        structure_weight: weight of that term.
        reduction: ``mean`` or ``sum`` over an image's values of the distance in the total.
        per_image: report the distance as a sum over an image's values whatever the reduction, as the autoencoders
            and VAEs do; by default as the mean over them, which volumes of any size have in common.

    Raises:
        InputError: for an unknown distance, structure or reduction.
    """

    term_names = VQTerms._fields

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
        self.network = network
        self.fidelity = Fidelity(distance, structure, network.config.spatial_dims)
        self.structure_weight = structure_weight
        self.reduction = reduction
        self.per_image = per_image

    def forward(self, batch: Mapping[str, Tensor]) -> VQTerms:
        """Return the terms for ``batch["image"]`` of shape (B, C, *spatial) in [0, 1].

        ``batch["corrupted"]`` (same shape), where given, is what the network sees of it; ``batch["level"]`` (B,), what
        it is told. ``batch["valid"]`` (1 inside the image, 0 in its padding) restricts ``recon``; for ``structure``
        both images are 0 outside it.
        """
        return self.restore(batch).terms

    def restore(self, batch: Mapping[str, Tensor]) -> Restored:
        """Return the terms and the reconstruction for a batch, as ``forward`` takes it."""
        out = self.network.reconstruct(seen(batch), batch.get("level"))
        apart = self.fidelity(out.reconstruction, batch["image"], batch.get("valid"))
        minimised = apart.summed if self.reduction == "sum" else apart.mean
        total = minimised + out.vq_loss + self.structure_weight * apart.structure
        reported = apart.summed if self.per_image else apart.mean
        return Restored(VQTerms(total, reported, out.vq_loss, apart.structure), out.reconstruction)

    @staticmethod
    def example() -> tuple["VQReconstruction", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        config = VQVAEConfig(spatial_dims=2, channels=(4, 8))
        network = VQVAE(config, build_quantizer("vq", num_codes=8, dim=8))
        return VQReconstruction(network), {"image": torch.rand(2, 1, 16, 16)}
