"""The VQ-VAE: a strided encoder, a quantizer, and the mirrored decoder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.dropout import HashedDropout
from fracture_vae.networks.folded import FoldedConvolution, FoldedTransposedConvolution
from fracture_vae.networks.levels import LevelEmbedding
from fracture_vae.networks.quantizers import Quantized, Quantizer, build_quantizer
from fracture_vae.networks.quantizers.base import being_exported
from fracture_vae.registry import NETWORKS

_NORMS = ("batch", "instance", "group")


@dataclass(frozen=True)
class VQVAEConfig:
    """Shape of a VQ-VAE; lists from JSON are taken for tuples.

    Raises:
        InputError: for a value out of range.
    """

    spatial_dims: int = 3
    """2 or 3."""
    in_channels: int = 1
    """Channels of the image, C."""
    channels: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of each stage; every stage halves the size."""
    norm: str = "batch"
    """batch, instance or group (of at most 8 groups)."""
    dropout: float = 0.1
    """Probability that an activation is dropped, in [0, 1)."""
    negative_slope: float = 0.01
    """Slope of LeakyReLU below zero."""
    levels: int = 0
    """How many vertebral levels the decoder is told apart; 0 tells it none."""
    level_dropout: float = 0.1
    """Probability that training forgets an image's level, in [0, 1)."""
    size: tuple[int, ...] | None = None
    """Sides of all images, which the stages then need not divide; None takes any that they do."""

    def __post_init__(self) -> None:
        for name in ("channels", "size"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        _require(self.spatial_dims in (2, 3), "spatial_dims", self.spatial_dims, "2 or 3")
        _require(self.in_channels >= 1, "in_channels", self.in_channels, "1 or more")
        positive = isinstance(self.channels, tuple) and all(isinstance(c, int) and c >= 1 for c in self.channels)
        _require(positive and bool(self.channels), "channels", self.channels, "whole numbers >= 1, one a stage")
        _require(self.norm in _NORMS, "norm", self.norm, f"one of {', '.join(_NORMS)}")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")
        _require(0 <= self.negative_slope < 1, "negative_slope", self.negative_slope, "at least 0 and below 1")
        _require(self.levels >= 0, "levels", self.levels, "0 or more")
        _require(0 <= self.level_dropout < 1, "level_dropout", self.level_dropout, "at least 0 and below 1")
        if self.size is not None:
            whole = isinstance(self.size, tuple) and all(isinstance(n, int) and n >= 1 for n in self.size)
            right = whole and len(self.size) == self.spatial_dims
            _require(right, "size", self.size, f"{self.spatial_dims} whole numbers >= 1")
            fewest = 2 ** (len(self.channels) - 1)
            told = f"above {fewest} on every axis for {len(self.channels)} stages, each of which halves it; give fewer"
            _require(min(self.size) > fewest, "size", self.size, told)


class VQOutput(NamedTuple):
    """What a VQ-VAE makes of images x of shape (B, C, \\*spatial)."""

    reconstruction: Tensor
    """(B, C, \\*spatial) float32 in [0, 1]."""
    vq_loss: Tensor
    """Scalar, the quantizer's loss."""
    codes: Tensor
    """(B, \\*spatial / downsampling) int64."""


@NETWORKS.add_def("vqvae", "VQ-VAE of stride-2 convolutions with any registered quantizer, 2D or 3D")
class VQVAE(nn.Module):
    """VQ-VAE (van den Oord et al. 2017, arXiv:1711.00937).

    Encoder: stride-2 convolutions (kernel 4), each with norm, LeakyReLU and dropout, then a 1x1 convolution to the
    quantizer's ``dim``: without it LeakyReLU would leave the codes one orthant of the space. The last encoder stage
    has no dropout, which would change the code a vector gets from one pass to the next. Decoder: the mirror, with
    transposed convolutions and a sigmoid.

    Images are (B, C, \\*spatial) in [0, 1], sizes multiples of ``downsampling``; or of the config's ``size``, framed
    with zeros to such multiples for the encoder, and cut to it after the decoder. Where the config has ``levels``, the
    decoder is told each image's level (B,) int64, counted from 1; 0 or None is unknown. The codes are not: they
    describe the image, whatever its level.
    """

    example: ClassVar[Callable[[], "VQVAE"]]
    example_shape: ClassVar[tuple[int, ...]] = (2, 1, 16, 16, 16)

    def __init__(self, config: VQVAEConfig, quantizer: Quantizer) -> None:
        super().__init__()
        self.config = config
        self.downsampling = 2 ** len(config.channels)
        self._frame = _margins(config.size, self.downsampling)
        deepest = config.channels[-1]
        widths = (config.in_channels, *config.channels)
        steps = list(pairwise(widths))
        self.encoder = nn.Sequential(
            *(_stage(config, a, b, first=i == 0, dropout=i < len(steps) - 1) for i, (a, b) in enumerate(steps))
        )
        self.to_quantizer = _pointwise(config, deepest, quantizer.dim)
        self.quantizer = quantizer
        self.from_quantizer = nn.Identity() if quantizer.dim == deepest else _pointwise(config, quantizer.dim, deepest)
        self.level = LevelEmbedding(config.levels, deepest, config.level_dropout) if config.levels else None
        self.decoder = nn.Sequential(
            *(_stage(config, b, a, transposed=True, last=i == 0) for i, (a, b) in reversed(list(enumerate(steps))))
        )

    @classmethod
    def from_options(
        cls, quantizer: str = "vq", quantizer_options: Mapping[str, Any] | None = None, **config: Any
    ) -> "VQVAE":
        """Return the VQ-VAE of these plain values; ``config`` are the fields of :class:`VQVAEConfig`."""
        return cls(VQVAEConfig(**config), build_quantizer(quantizer, **(quantizer_options or {})))

    @property
    def takes_level(self) -> bool:
        """Whether a level makes a difference."""
        return self.level is not None

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Reconstruction (B, C, \\*spatial) of x (B, C, \\*spatial), in training and in evaluation."""
        return self.reconstruct(x, level).reconstruction

    def reconstruct(self, x: Tensor, level: Tensor | None = None) -> VQOutput:
        """Reconstruction, quantizer loss and codes of x (B, C, \\*spatial)."""
        quantized, loss, codes = self.quantize(self.encode(x))
        return VQOutput(self.decode(quantized, level), loss, codes)

    def encode(self, x: Tensor) -> Tensor:
        """Encoder vectors z (B, D, \\*latent) of x (B, C, \\*spatial).

        Raises:
            InputError: when a size is not a multiple of ``downsampling``, or not the config's.
        """
        if not being_exported():
            self._require_size(tuple(x.shape[2:]))
        return self.to_quantizer(self.encoder(self._framed(x)))

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features (B, channels[i], \\*spatial / 2^(i + 1)) of framed x (B, C, \\*spatial) after each encoder stage."""
        found = []
        x = self._framed(x)
        for stage in self.encoder:
            x = stage(x)
            found.append(x)
        return tuple(found)

    def quantize(self, z: Tensor) -> Quantized:
        """Quantizer's answer to z (B, D, \\*latent)."""
        return self.quantizer(z)

    def decode(self, z: Tensor, level: Tensor | None = None) -> Tensor:
        """Reconstruction (B, C, \\*spatial) from code vectors (B, D, \\*latent)."""
        deepest = self.from_quantizer(z)
        told = deepest if self.level is None else self.level(deepest, level)
        return torch.sigmoid(self._cut(self.decoder(told)).float())

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Codes (B, \\*latent) int64 of x (B, C, \\*spatial)."""
        return self.quantize(self.encode(x)).codes

    def _require_size(self, size: tuple[int, ...]) -> None:
        if self.config.size is not None and size != self.config.size:
            raise InputError(f"image size {size} is not {self.config.size}, which the network was made for")
        if self.config.size is None and any(side % self.downsampling for side in size):
            raise InputError(
                f"image size {size} is not a multiple of {self.downsampling} on every axis; "
                f"pad it (DivisiblePadd with k={self.downsampling})"
            )

    def _framed(self, x: Tensor) -> Tensor:
        return F.pad(x, self._frame) if any(self._frame) else x

    def _cut(self, x: Tensor) -> Tensor:
        return F.pad(x, [-side for side in self._frame]) if any(self._frame) else x


VQVAE.example = staticmethod(lambda: VQVAE(VQVAEConfig(channels=(4, 8)), build_quantizer("vq", num_codes=16, dim=8)))


def find_vqvae(network: nn.Module) -> VQVAE | None:
    """Return the VQ-VAE that ``network`` is or holds, or None."""
    return next((module for module in network.modules() if isinstance(module, VQVAE)), None)


def _margins(size: tuple[int, ...] | None, multiple: int) -> list[int]:
    """What F.pad takes to centre ``size`` in multiples of ``multiple``: the last axis first, before and behind."""
    lacking = [-side % multiple for side in reversed(size or ())]
    return [part for amount in lacking for part in (amount // 2, amount - amount // 2)]


def _stage(
    config: VQVAEConfig,
    inputs: int,
    outputs: int,
    *,
    transposed: bool = False,
    dropout: bool = True,
    first: bool = False,
    last: bool = False,
) -> nn.Module:
    """Convolution that halves (or doubles) the size, norm, LeakyReLU, dropout; the ``last`` one convolves only.

    The ``first`` and the last, which have the image on one side, fold it."""
    norms = {
        "batch": "batch",
        "instance": ("instance", {"affine": True}),
        "group": ("group", {"num_groups": gcd(8, outputs)}),
    }
    convolution = Convolution(
        config.spatial_dims,
        inputs,
        outputs,
        strides=2,
        kernel_size=4,
        padding=1,
        output_padding=0 if transposed else None,
        is_transposed=transposed,
        conv_only=last,
        bias=last,  # the norm has a bias of its own
        adn_ordering="NA",
        norm=norms[config.norm],
        act=("leakyrelu", {"negative_slope": config.negative_slope}),
    )
    if first:
        convolution.conv = FoldedConvolution(convolution.conv)
    if last:
        convolution.conv = FoldedTransposedConvolution(convolution.conv)
    return nn.Sequential(convolution, HashedDropout(config.dropout)) if dropout and not last else convolution


def _pointwise(config: VQVAEConfig, inputs: int, outputs: int) -> nn.Module:
    """1x1 convolution."""
    return Convolution(config.spatial_dims, inputs, outputs, kernel_size=1, conv_only=True)


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise a one-line InputError about a field of VQVAEConfig unless ``holds``."""
    if not holds:
        raise InputError(f"VQVAEConfig.{name} is {value!r}; it must be {expected}")
