"""MONAI's own ``VQVAE`` with the same data, augmentation, budget and learning rate, as its users would train it."""

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from monai.networks.nets import VQVAE
from numpy.typing import NDArray
from torch import Tensor, nn

from fracture_vae.maps import PaddedInferer
from fracture_vae.training import BatchLoader

RESIDUAL_UNITS = {"two residual units a stage, as in its tutorials": 2, "no residual unit, the bundle's arithmetic": 0}
"""The networks that speed is compared with: how they are told, and their residual units."""


def build(channels: tuple[int, ...], num_codes: int, dim: int, residual_units: int = 1) -> VQVAE:
    """Return MONAI's VQVAE, every level of which halves the size and has so many residual units, as wide as itself."""
    levels = len(channels)
    return VQVAE(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        channels=channels,
        num_res_layers=residual_units,
        num_res_channels=channels,
        downsample_parameters=((2, 4, 1, 1),) * levels,
        upsample_parameters=((2, 4, 1, 1, 0),) * levels,
        num_embeddings=num_codes,
        embedding_dim=dim,
        ddp_sync=False,
    )


def train(
    network: VQVAE,
    loader: BatchLoader,
    seconds: float,
    learning_rate: float,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Train for ``seconds`` of ``clock`` in float32 and return the number of epochs.

    Adam, L1 over valid voxels plus the quantizer's loss; the learning rate falls on a cosine to 0.
    """
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    began, steps = clock(), 0
    while True:
        for batch in loader:
            passed = (clock() - began) / seconds
            if passed >= 1:
                return steps / len(loader)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * passed))
            optimizer.zero_grad()
            reconstruction, vq_loss = network(batch["image"])
            (_l1(reconstruction, batch) + vq_loss).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            steps += 1


def _l1(reconstruction: Tensor, batch: dict[str, Tensor]) -> Tensor:
    difference = (reconstruction - batch["image"]).abs()
    valid = batch.get("valid")
    return difference.mean() if valid is None else (difference * valid).sum() / valid.sum()


class _Reconstruction(nn.Module):
    """MONAI's VQVAE without the loss it returns beside the reconstruction."""

    def __init__(self, network: VQVAE) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[0]


@torch.no_grad()
def reconstruct(network: VQVAE, size: Sequence[int], image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the reconstruction of ``image`` (H, W, D) as padded in training (``size``), clipped to [0, 1]."""
    network.eval()
    padded = PaddedInferer(2 ** len(network.channels), size)
    volume = torch.from_numpy(image)[None, None]
    return padded(volume, _Reconstruction(network))[0, 0].clamp(0, 1).numpy()


@torch.no_grad()
def used_codes(network: VQVAE, loader: BatchLoader) -> int:
    """Return how many different codes one pass over ``loader`` uses, the network in evaluation mode."""
    network.eval()
    return len({code for batch in loader for code in network.index_quantize(batch["image"]).unique().tolist()})
