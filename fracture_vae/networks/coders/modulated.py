"""A decoder in which the latent vector does not enter at the bottom, but sets the style of every stage."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from fracture_vae.networks.coders.activations import activation, inputs_of
from fracture_vae.networks.coders.config import CoderConfig
from fracture_vae.networks.coders.convolutional import TRANSPOSED, channel_dropout, smallest_size

_STYLE = 128
_EPSILON = 1e-5


class ModulatedDecoder(nn.Module):
    """(B, latent) to (B, *shape), as StyleGAN generates (Karras et al. 2019, arXiv:1812.04948, section 2).

    A learned constant passes through the convolutional decoder's stages. In each, every channel is normalised over
    space, then scaled and shifted by linear functions of a style (AdaIN, eq. 1), which two layers make of the latent
    vector. That takes the place of the other decoders' norm. StyleGAN's noise inputs are left out: they would be a
    second source of randomness beside the latent vector, which no posterior is inferred of.
    """

    def __init__(self, config: CoderConfig) -> None:
        super().__init__()
        dims, deepest = len(config.shape) - 1, config.channels[-1]
        self.shape = config.shape
        self.constant = nn.Parameter(torch.randn(1, deepest, *smallest_size(config)))
        self.style = nn.Sequential(
            nn.Linear(config.latent, _STYLE), nn.LeakyReLU(0.2), nn.Linear(_STYLE, _STYLE), nn.LeakyReLU(0.2)
        )
        stages = [_ModulatedStage(config, deepest, deepest, still=True)] if config.extra_stage else []
        stages += [_ModulatedStage(config, a, b) for a, b in pairwise(reversed(config.channels))]
        self.stages = nn.ModuleList(stages)
        self.to_sample = TRANSPOSED[dims](config.channels[0], config.shape[0], 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Return (B, C, *spatial) of z (B, latent), before any output function."""
        style = self.style(z)
        x = self.constant.expand(len(z), *self.constant.shape[1:])
        for stage in self.stages:
            x = stage(x, style)
        x = self.to_sample(x)
        return x[(slice(None), slice(None), *(slice(size) for size in self.shape[1:]))]


class _ModulatedStage(nn.Module):
    """Transposed convolution, normalisation over space, the style's scale and shift, activation, dropout."""

    def __init__(self, config: CoderConfig, inputs: int, outputs: int, still: bool = False) -> None:
        super().__init__()
        dims, self.width = len(config.shape) - 1, inputs_of(config.activation, outputs)
        kernel = (3, 1, 1) if still else (4, 2, 1)
        self.convolution = TRANSPOSED[dims](inputs, self.width, *kernel, bias=False)  # AdaIN would take a bias away
        self.modulation = nn.Linear(_STYLE, 2 * self.width)
        self.after = nn.Sequential(activation(config.activation), *channel_dropout(config))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.convolution(x)
        axes = tuple(range(2, x.dim()))
        x = (x - x.mean(axes, keepdim=True)) * (x.var(axes, unbiased=False, keepdim=True) + _EPSILON).rsqrt()
        scale, shift = self.modulation(style).view(len(style), 2 * self.width, *[1] * len(axes)).chunk(2, 1)
        return self.after(x * (1 + scale) + shift)
