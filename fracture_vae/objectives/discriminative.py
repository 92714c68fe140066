"""A detector's objective: restore what is healthy, and mark what was changed on purpose."""

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks import VQVAE, Detector, UNetConfig, VQVAEConfig, build_quantizer
from fracture_vae.objectives.restoring import Restoring, seen
from fracture_vae.objectives.segmentation import SegmentationLoss
from fracture_vae.objectives.vq import VQReconstruction
from fracture_vae.registry import OBJECTIVES

TERM = "segmentation"


@OBJECTIVES.add_def("discriminative", "any reconstruction objective + a head's loss against what a corruption changed")
class Discriminative(nn.Module):
    """total = total of the reconstruction + weight · segmentation (Zavrtanik et al. 2021, arXiv:2108.07610, eq. 4).

    The terms are the reconstruction's, with ``segmentation`` (before its weight) behind them; of a head alone,
    ``total`` and ``segmentation``. No label of any kind is
    needed: images are healthy, ``batch["corrupted"]`` is what a corruption made of them, and ``batch["anomaly"]``
    (B, 1, \\*spatial) where.

    Args:
        network: a detector.
        reconstruction: the objective of its ``reconstructor``; None for a head alone.
        loss: as for :class:`~fracture_vae.objectives.segmentation.SegmentationLoss`.
        weight: of that loss.

    Raises:
        InputError: for an objective of another network, an unknown loss or a negative weight; when called on a batch
            that is not corrupted.
    """

    def __init__(
        self, network: Detector, reconstruction: Restoring | None, loss: str = "dice_focal", weight: float = 1.0
    ) -> None:
        super().__init__()
        if (None if reconstruction is None else reconstruction.network) is not network.reconstructor:
            raise InputError("discriminative: reconstruction must be an objective of the detector's own reconstructor")
        if weight < 0:
            raise InputError(f"weight is {weight}; it must be 0 or more")
        self.network = network
        self.reconstruction = reconstruction
        self.segmentation = SegmentationLoss(loss)
        self.weight = weight
        self.term_names = (*(("total",) if reconstruction is None else reconstruction.term_names), TERM)
        self._terms: Callable[..., Any] = namedtuple("DiscriminativeTerms", self.term_names)  # type: ignore[misc]

    def forward(self, batch: Mapping[str, Tensor]) -> Any:
        """Return the terms for a batch as the reconstruction takes it, with ``anomaly``."""
        if "anomaly" not in batch:
            raise InputError("discriminative: there is nothing to find in the batches; set a corruption")
        if self.reconstruction is None:
            segmentation = self._segmentation(batch, seen(batch))
            return self._terms(self.weight * segmentation, segmentation)
        restored = self.reconstruction.restore(batch)
        segmentation = self._segmentation(batch, restored.reconstruction)
        total, *others = restored.terms
        return self._terms(total + self.weight * segmentation, *others, segmentation)

    def _segmentation(self, batch: Mapping[str, Tensor], reconstruction: Tensor) -> Tensor:
        logits = self.network.locate(seen(batch), reconstruction)
        return self.segmentation(logits, batch["anomaly"], batch.get("valid"))

    @staticmethod
    def example() -> tuple["Discriminative", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        vqvae = VQVAE(VQVAEConfig(spatial_dims=2, channels=(4, 8)), build_quantizer("vq", num_codes=8, dim=8))
        network = Detector(vqvae, UNetConfig(spatial_dims=2, channels=(4, 8)))
        image, anomaly = torch.rand(2, 1, 16, 16), torch.zeros(2, 1, 16, 16)
        anomaly[..., 4:9, 5:12] = 1
        batch = {"image": image, "corrupted": image * (1 - anomaly), "anomaly": anomaly}
        return Discriminative(network, VQReconstruction(vqvae)), batch
