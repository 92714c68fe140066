"""Reconstruction by a network without a loss of its own."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.networks import UNet, UNetConfig, conditions
from fracture_vae.objectives.fidelity import Fidelity
from fracture_vae.objectives.restoring import Restored, seen
from fracture_vae.registry import OBJECTIVES


class ReconstructionTerms(NamedTuple):
    """Loss terms, each a scalar and a mean over the images of the batch."""

    total: Tensor
    recon: Tensor  # distance between image and reconstruction, mean over valid voxels
    structure: Tensor  # SSIM or gradient term before its weight; 0 when switched off


@OBJECTIVES.add_def("reconstruction", "L1 or L2 reconstruction by any network, optional SSIM or gradient term")
class Reconstruction(nn.Module):
    """total = distance + structure_weight · structure.

    Args:
        network: any; with :class:`UNet` and coarse noise, a denoising autoencoder (Kascenas et al. 2022, with ``l2``).
        distance, structure: as for :class:`~fracture_vae.objectives.fidelity.Fidelity`.
        structure_weight: weight of that term.

    Raises:
        InputError: for an unknown distance or structure.
    """

    term_names = ReconstructionTerms._fields

    def __init__(
        self, network: UNet, distance: str = "l2", structure: str = "none", structure_weight: float = 0.1
    ) -> None:
        super().__init__()
        self.network = network
        self.fidelity = Fidelity(distance, structure, network.config.spatial_dims)
        self.structure_weight = structure_weight

    def forward(self, batch: Mapping[str, Tensor]) -> ReconstructionTerms:
        """Return the terms for a batch of images (B, C, \\*spatial) in [0, 1], as the VQ-VAE's objective takes it."""
        return self.restore(batch).terms

    def restore(self, batch: Mapping[str, Tensor]) -> Restored:
        """Return the terms and the reconstruction for a batch, as ``forward`` takes it."""
        made = self.network(seen(batch), *conditions(self.network, batch.get("level")))
        apart = self.fidelity(made, batch["image"], batch.get("valid"))
        total = apart.mean + self.structure_weight * apart.structure
        return Restored(ReconstructionTerms(total, apart.mean, apart.structure), made)

    @staticmethod
    def example() -> tuple["Reconstruction", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        network = UNet(UNetConfig(spatial_dims=2, channels=(4, 8)))
        image = torch.rand(2, 1, 16, 16)
        return Reconstruction(network), {"image": image, "corrupted": image + 0.1 * torch.randn_like(image)}
