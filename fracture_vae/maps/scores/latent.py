"""Scores of what only the network knows: its features, its codes, its head."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fracture_vae.maps.scores.base import Score
from fracture_vae.maps.scores.seen import Seen
from fracture_vae.registry import SCORES

_EPSILON = 1e-6  # keeps features that vanish from being divided by nothing


def upsampled(latent: Tensor, like: Tensor) -> Tensor:
    """Return (B, 1, \\*latent) interpolated linearly to the spatial size of ``like``, float32."""
    mode = ("linear", "bilinear", "trilinear")[latent.dim() - 3]
    return F.interpolate(latent.float(), size=like.shape[2:], mode=mode, align_corners=False)


@SCORES.add_def("feature", "distance of the network's own encoder features of x and x̂, mean over its stages, 0 to 4")
@dataclass(frozen=True)
class FeatureDistance(Score):
    """Squared distance of feature vectors of unit length, summed over channels and averaged over stages.

    The distance of LPIPS (Zhang et al. 2018, eq. 1) with all channels alike, in the encoder that was trained: nothing
    is downloaded.
    """

    needs: ClassVar[tuple[str, ...]] = ("features",)
    display_max: ClassVar[float] = 1.0

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over stages, interpolated to the image's size."""
        maps = []
        for stage in seen.features:
            a, b = (f.float() / (f.float().norm(dim=1, keepdim=True) + _EPSILON) for f in stage)
            maps.append(upsampled((a - b).square().sum(1, keepdim=True), seen.image))
        return torch.stack(maps).mean(0)


@SCORES.add_def("code_distance", "root mean square difference of an encoder vector and its nearest code, interpolated")
@dataclass(frozen=True)
class CodeDistance(Score):
    """|z - e| / √D of the encoder's vector z and the code e it becomes, both of length D."""

    needs: ClassVar[tuple[str, ...]] = ("encode", "quantize")
    display_max: ClassVar[float] = 1.0

    def __call__(self, seen: Seen) -> Tensor:
        """Return the distance, interpolated to the image's size."""
        difference = seen.encoded.float() - seen.quantized.quantized.float()
        return upsampled(difference.square().mean(1, keepdim=True).sqrt(), seen.image)


@SCORES.add_def("head", "probability that the detecting head of the network gives a voxel of being abnormal")
@dataclass(frozen=True)
class Head(Score):
    """Sigmoid of the logits that the network's ``locate`` gives."""

    needs: ClassVar[tuple[str, ...]] = ("locate",)
    display_max: ClassVar[float] = 1.0

    def __call__(self, seen: Seen) -> Tensor:
        """Return probabilities in [0, 1]."""
        return seen.logits.float().sigmoid()
