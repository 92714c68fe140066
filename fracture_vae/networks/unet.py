"""A U-Net that works at half resolution on folded voxels, alone as a reconstructor or as a part of other networks."""

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Any, ClassVar

import torch
from monai.networks.nets import UNet as MonaiUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.quantizers.base import being_exported
from fracture_vae.registry import NETWORKS

_FOLD = 2
_NORMS = ("batch", "instance", "group")


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a U-Net; lists from JSON are taken for tuples.

    Raises:
        InputError: for a value out of range.
    """

    spatial_dims: int = 3
    """2 or 3."""
    channels: tuple[int, ...] = (16, 32, 64)
    """Channels at half, a quarter, … of the image's resolution; the last two at the same."""
    norm: str = "batch"
    """batch, instance or group (of at most 8 groups)."""
    units: int = 2
    """Convolutions of a residual unit; 0 for a plain convolution a level, which hardly learns lesions in MRI."""

    def __post_init__(self) -> None:
        if isinstance(self.channels, list):
            object.__setattr__(self, "channels", tuple(self.channels))
        _require(self.spatial_dims in (2, 3), "spatial_dims", self.spatial_dims, "2 or 3")
        positive = isinstance(self.channels, tuple) and all(type(c) is int and c >= 1 for c in self.channels)
        _require(positive and len(self.channels) > 1, "channels", self.channels, "two or more whole numbers >= 1")
        _require(type(self.units) is int and self.units >= 0, "units", self.units, "a whole number from 0 on")
        _require(self.norm in _NORMS, "norm", self.norm, f"one of {', '.join(_NORMS)}")

    @property
    def downsampling(self) -> int:
        """What an image's sizes must be a multiple of."""
        return 2 ** (len(self.channels) - 1)


class FoldedUNet(nn.Module):
    """MONAI's U-Net between a folding of every 2 x 2 [x 2] block of voxels into channels and its inverse.

    Nothing is lost by folding (Shi et al. 2016, arXiv:1609.05158), all convolutions run on an eighth of the positions,
    and none has so few channels that a processor idles. Maps (B, I, \\*spatial) to (B, O, \\*spatial).
    """

    def __init__(self, config: UNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.config = config
        folded = _FOLD**config.spatial_dims
        norms = {
            "batch": "batch",
            "instance": ("instance", {"affine": True}),
            "group": ("group", {"num_groups": gcd(8, *config.channels)}),
        }
        self.net = MonaiUNet(
            config.spatial_dims,
            in_channels * folded,
            out_channels * folded,
            channels=config.channels,
            strides=(1, *[2] * (len(config.channels) - 2)),
            num_res_units=config.units,
            act="leakyrelu",
            norm=norms[config.norm],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, I, \\*spatial).

        Raises:
            InputError: when a size is not a multiple of the config's ``downsampling``.
        """
        multiple, dims = self.config.downsampling, self.config.spatial_dims
        if not being_exported() and any(size % multiple for size in x.shape[2:]):
            raise InputError(f"image size {tuple(x.shape[2:])} is not a multiple of {multiple} on every axis; pad it")
        return pixelshuffle(self.net(pixelunshuffle(x, dims, _FOLD)), dims, _FOLD)


@NETWORKS.add_def("unet", "U-Net without a bottleneck, for denoising and restoration, 2D or 3D")
class UNet(nn.Module):
    """A U-Net as a denoising autoencoder (Kascenas et al. 2022, "Denoising autoencoders for unsupervised anomaly
    detection in brain MRI", MIDL).

    Its skip connections let an image through as it is, so it learns nothing from plain reconstruction: train it with
    a corruption. Images are (B, C, \\*spatial) in [0, 1], sizes multiples of ``downsampling``.
    """

    example: ClassVar[Callable[[], "UNet"]]
    example_shape: ClassVar[tuple[int, ...]] = (2, 1, 16, 16, 16)

    def __init__(self, config: UNetConfig, in_channels: int = 1) -> None:
        super().__init__()
        self.config = config
        self.downsampling = config.downsampling
        self.net = FoldedUNet(config, in_channels, in_channels)

    @classmethod
    def from_options(cls, in_channels: int = 1, **config: Any) -> "UNet":
        """Return the U-Net of these plain values; ``config`` are the fields of :class:`UNetConfig`."""
        return cls(UNetConfig(**config), in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Restoration (B, C, \\*spatial) of x (B, C, \\*spatial)."""
        return torch.sigmoid(self.net(x).float())


UNet.example = staticmethod(lambda: UNet(UNetConfig(channels=(4, 8))))


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise a one-line InputError about a field of UNetConfig unless ``holds``."""
    if not holds:
        raise InputError(f"UNetConfig.{name} is {value!r}; it must be {expected}")
