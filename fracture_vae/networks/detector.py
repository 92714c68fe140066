"""A reconstructor and a head that learns where reconstruction and image differ for a reason."""

from collections.abc import Callable, Mapping
from math import lcm
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.build import build_network
from fracture_vae.networks.levels import conditions
from fracture_vae.networks.unet import FoldedUNet, UNetConfig
from fracture_vae.registry import NETWORKS

SEES = ("difference", "image")
_RARE = -4.0
"""Added to the head's logits, so that it starts from a probability of 0.02: anomalies are rare (Lin et al. 2017)."""


class Detection(NamedTuple):
    """What a detector makes of images x of shape (B, C, \\*spatial)."""

    reconstruction: Tensor
    """(B, C, \\*spatial), as ``forward`` returns it."""
    logits: Tensor
    """(B, 1, \\*spatial) float32; their sigmoid is the probability that a voxel is anomalous."""


@NETWORKS.add_def("detector", "any registered reconstructor with a U-Net head that marks what is anomalous")
class Detector(nn.Module):
    """A reconstructor and a discriminative head (DRAEM: Zavrtanik et al. 2021, arXiv:2108.07610).

    The head sees the image x, its reconstruction x̂ and \\|x - x̂\\|, or x alone, and is trained on corruptions of
    healthy images. Unlike DRAEM's it learns from x̂ as it is: its loss does not reach the reconstructor, which could
    otherwise use x̂ to leave it messages. Images are (B, C, \\*spatial) in [0, 1], sizes multiples of ``downsampling``.

    Args:
        reconstructor: its ``forward`` returns the reconstruction.
        head: shape of the head.
        sees: ``difference`` for x, x̂ and \\|x - x̂\\|, or ``image`` for x alone.
        in_channels: C.
    """

    example: ClassVar[Callable[[], "Detector"]]
    example_shape: ClassVar[tuple[int, ...]] = (2, 1, 16, 16, 16)

    def __init__(
        self, reconstructor: nn.Module, head: UNetConfig, in_channels: int = 1, sees: str = "difference"
    ) -> None:
        super().__init__()
        if sees not in SEES:
            raise InputError(f"a detector's head sees {', '.join(SEES)}; not '{sees}'")
        self.reconstructor = reconstructor
        self.sees_difference = sees == "difference"
        self.head = FoldedUNet(head, 3 * in_channels if self.sees_difference else in_channels, 1)
        self.downsampling = lcm(getattr(reconstructor, "downsampling", 1), head.downsampling)

    @classmethod
    def from_options(
        cls,
        reconstructor: Mapping[str, Any],
        head: Mapping[str, Any] | None = None,
        in_channels: int = 1,
        sees: str = "difference",
    ) -> "Detector":
        """Return the detector of plain values: a network's ``name`` and options, and fields of :class:`UNetConfig`."""
        return cls(build_network(**reconstructor), UNetConfig(**(head or {})), in_channels, sees)

    @property
    def takes_level(self) -> bool:
        """Whether a level makes a difference to the reconstruction."""
        return bool(getattr(self.reconstructor, "takes_level", False))

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Reconstruction (B, C, \\*spatial) of x (B, C, \\*spatial), which may be of a known ``level`` (B,)."""
        return self.reconstructor(x, *conditions(self.reconstructor, level))

    def detect(self, x: Tensor, level: Tensor | None = None) -> Detection:
        """Reconstruction and anomaly logits of x (B, C, \\*spatial)."""
        reconstruction = self(x, level)
        return Detection(reconstruction, self.locate(x, reconstruction))

    def locate(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        """Anomaly logits (B, 1, \\*spatial) from x and its reconstruction, both (B, C, \\*spatial)."""
        if self.sees_difference:
            made = reconstruction.detach().to(x.dtype)
            x = torch.cat([x, made, (x - made).abs()], 1)
        return self.head(x).float() + _RARE


_SMALL: Mapping[str, Any] = {"name": "vqvae", "channels": [4, 8], "quantizer_options": {"num_codes": 16, "dim": 8}}
Detector.example = staticmethod(lambda: Detector.from_options(_SMALL, {"channels": [4, 8]}))
