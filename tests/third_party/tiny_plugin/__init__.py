"""One network, quantizer, corruption and score, registered by importing this module."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from fracture_vae.maps.scores import Score
from fracture_vae.networks import Quantized, Quantizer
from fracture_vae.registry import CORRUPTIONS, NETWORKS, QUANTIZERS, SCORES
from fracture_vae.transforms.corruption import Corrupted


@NETWORKS.add_def("tiny_autoencoder", "one convolution, as a third party would add it")
class TinyAutoencoder(nn.Module):
    """One convolution."""

    example_shape = (2, 1, 8, 8, 8)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 1, 3, padding=1)

    def forward(self, x):
        return torch.sigmoid(self.conv(x))


TinyAutoencoder.example = staticmethod(TinyAutoencoder)


@QUANTIZERS.add_def("tiny_sign", "the sign of a single channel")
class TinySign(Quantizer):
    """Two codes, -1 and 1."""

    def __init__(self):
        super().__init__(2, 1)

    def forward(self, z):
        codes = (z[:, 0] > 0).long()
        self.count(codes)
        return Quantized(self.lookup(codes) + z - z.detach(), z.new_zeros(()), codes)

    def lookup(self, codes):
        return (2.0 * codes - 1)[:, None]


TinySign.example = staticmethod(TinySign)


class TinyParams(NamedTuple):
    """How much darker each image gets."""

    share: torch.Tensor


@CORRUPTIONS.add_def("tiny_dark", "every image darker")
@dataclass(frozen=True)
class TinyDark:
    """Takes a share of the brightness."""

    most: float = 0.9
    dims = (2, 3)

    def draw(self, images, generator):
        return TinyParams(self.most * torch.rand(len(images), generator=generator))

    def apply(self, images, params):
        dark = images * (1 - params.share.to(images.device).reshape(-1, *[1] * (images.dim() - 1)))
        return Corrupted(dark, (images - dark > 0.02).float())


TinyDark.example = staticmethod(TinyDark)


@SCORES.add_def("tiny_cubed", "|x - x̂|³")
@dataclass(frozen=True)
class TinyCubed(Score):
    """The third power of the residual."""

    def __call__(self, seen):
        return (seen.image - seen.reconstruction).abs().pow(3).mean(1, keepdim=True)
