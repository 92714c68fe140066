"""Strided convolutional encoder and mirrored decoder, for images of any size."""

from itertools import pairwise
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from fracture_vae.networks.coders.activations import activation, inputs_of
from fracture_vae.networks.coders.config import CoderConfig
from fracture_vae.networks.coders.mlp import each_output

_CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_DROPOUT = {2: nn.Dropout2d, 3: nn.Dropout3d}


class ConvolutionalEncoder(nn.Module):
    """(B, *shape) to (B, features): stages of kernel 4, stride 2, then flattened.

    A size that the stages do not divide is padded with zeros at its far end.
    """

    def __init__(self, config: CoderConfig) -> None:
        super().__init__()
        dims = len(config.shape) - 1
        self.depth = len(config.channels)
        self.padding = _padding(config)
        self.features = config.channels[-1] * prod(smallest_size(config))
        self.stages = nn.Sequential(
            *(
                _stage(config, _CONVOLUTION[dims](a, inputs_of(config.activation, b), 4, 2, 1), b)
                for a, b in pairwise((config.shape[0], *config.channels))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, F) of x (B, C, *spatial)."""
        return self.stages(F.pad(x, self.padding)).flatten(1)

    def hidden_features(self, x: Tensor) -> list[Tensor]:
        """Return what each stage gives for x (B, C, *spatial)."""
        return each_output(self.stages.children(), F.pad(x, self.padding))


class ConvolutionalDecoder(nn.Module):
    """(B, latent) to (B, *shape): a linear layer, transposed convolutions of kernel 4 and stride 2, cut to size."""

    def __init__(self, config: CoderConfig) -> None:
        super().__init__()
        dims, deepest = len(config.shape) - 1, config.channels[-1]
        self.start = (deepest, *smallest_size(config))
        self.shape = config.shape
        self.from_latent = nn.Linear(config.latent, prod(self.start))
        stages: list[nn.Module] = []
        if config.extra_stage:
            convolution = TRANSPOSED[dims](deepest, inputs_of(config.activation, deepest), 3, 1, 1)
            stages.append(_stage(config, convolution, deepest))
        for a, b in pairwise(reversed(config.channels)):
            stages.append(_stage(config, TRANSPOSED[dims](a, inputs_of(config.activation, b), 4, 2, 1), b))
        stages.append(TRANSPOSED[dims](config.channels[0], config.shape[0], 4, 2, 1))
        self.stages = nn.Sequential(*stages)

    def forward(self, z: Tensor) -> Tensor:
        """Return (B, C, *spatial) of z (B, latent), before any output function."""
        x = self.stages(self.from_latent(z).unflatten(1, self.start))
        return x[(slice(None), slice(None), *(slice(size) for size in self.shape[1:]))]


def smallest_size(config: CoderConfig) -> tuple[int, ...]:
    """Return the spatial size after the encoder's last stage."""
    factor = 2 ** len(config.channels)
    return tuple(-(-size // factor) for size in config.shape[1:])


def _padding(config: CoderConfig) -> list[int]:
    """Return what F.pad takes: the last axis first, nothing before and the lacking voxels behind."""
    factor = 2 ** len(config.channels)
    return [amount for size in reversed(config.shape[1:]) for amount in (0, -size % factor)]


def _stage(config: CoderConfig, convolution: nn.Module, channels: int) -> nn.Module:
    dims, width = len(config.shape) - 1, inputs_of(config.activation, channels)
    parts: list[nn.Module] = [convolution]
    if config.norm == "batch":
        parts.append(_BATCH_NORM[dims](width))
    elif config.norm == "layer":
        parts.append(nn.GroupNorm(1, width))  # layer norm over channels and space
    parts.append(activation(config.activation))
    return nn.Sequential(*parts, *channel_dropout(config))


def channel_dropout(config: CoderConfig) -> list[nn.Module]:
    """Return the layer that drops whole channels, or none."""
    return [_DROPOUT[len(config.shape) - 1](config.dropout)] if config.dropout else []
