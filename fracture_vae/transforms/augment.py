"""Augmentation of a whole batch on the training device, as one separable resample and a pointwise pass.

Flip, rotation about z, translation in xy and scaling map z to z alone and (x, y) to (x, y) alone, so a 3D
resample is the product of a 2D one, whose every point is a whole column of voxels, and a 1D one along z, which
avoids the (B, H, W, D, 3) grid and the eight-corner gather of a 3D one. Drawing the parameters and applying them
are separate, so any augmentation can be recorded and replayed. There is no front-back flip: the spine has a front.
"""

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fracture_vae.errors import InputError

NOISE_PLACES = 2**20
"""Places where a sample's noise may begin in the table it is read from."""


@dataclass(frozen=True)
class AugmentConfig:
    """Each augmentation's probability per sample, and its range (drawn uniformly).

    Args:
        flip_prob: left-right mirror (first axis).
        rotate_prob, rotate_degrees: rotation about z by up to ± this angle, 0 to 180.
        translate_prob, translate_fraction: shift in x and in y by up to ± this fraction of the axis, 0 to 1.
        scale_prob, scale_min, scale_max: magnification of all three axes; above 1 enlarges.
        noise_prob, noise_std: Gaussian noise of a standard deviation drawn from [0, noise_std], in units of the
            normalised intensity.
        brightness_prob, brightness: offset up to ± this value.
        contrast_prob, contrast: gain of 1 ± up to this value.

    Raises:
        InputError: for a probability outside [0, 1] or an impossible range.
    """

    flip_prob: float = 0.5
    rotate_prob: float = 0.5
    rotate_degrees: float = 15.0
    translate_prob: float = 0.5
    translate_fraction: float = 0.05
    scale_prob: float = 0.5
    scale_min: float = 0.9
    scale_max: float = 1.1
    noise_prob: float = 0.5
    noise_std: float = 0.02
    brightness_prob: float = 0.5
    brightness: float = 0.05
    contrast_prob: float = 0.5
    contrast: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_prob") and not 0 <= value <= 1:
                raise InputError(f"augmentation {field.name} is {value}; a probability lies in [0, 1]")
            if not math.isfinite(value) or value < 0:
                raise InputError(f"augmentation {field.name} is {value}; it must be finite and not negative")
        if not 0 < self.scale_min <= self.scale_max:
            raise InputError(
                f"augmentation scale_min {self.scale_min} and scale_max {self.scale_max}: need 0 < min ≤ max"
            )
        if self.rotate_degrees > 180 or self.translate_fraction > 1 or self.contrast >= 1:
            raise InputError("augmentation ranges: rotate_degrees ≤ 180, translate_fraction ≤ 1, contrast < 1")


class AugmentParams(NamedTuple):
    """One drawn augmentation a sample; every tensor has shape (B,)."""

    flip: Tensor  # bool
    angle: Tensor  # radians, counter-clockwise seen from +z
    shift_x: Tensor  # fraction of the axis
    shift_y: Tensor
    scale: Tensor  # magnification
    noise: Tensor  # standard deviation
    noise_place: Tensor  # int64, 0 to NOISE_PLACES - 1
    brightness: Tensor  # offset
    contrast: Tensor  # gain


def draw(config: AugmentConfig, batch: int, generator: torch.Generator) -> AugmentParams:
    """Draw the parameters of ``batch`` samples from ``generator`` (CPU); identity where an augmentation is off."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, generator=generator) * (high - low) + low

    def chosen(prob: float, value: Tensor, otherwise: float) -> Tensor:
        return torch.where(torch.rand(batch, generator=generator) < prob, value, otherwise)

    angle = math.radians(config.rotate_degrees)
    shift = config.translate_fraction
    moved = torch.rand(batch, generator=generator) < config.translate_prob
    return AugmentParams(
        flip=torch.rand(batch, generator=generator) < config.flip_prob,
        angle=chosen(config.rotate_prob, uniform(-angle, angle), 0.0),
        shift_x=torch.where(moved, uniform(-shift, shift), 0.0),
        shift_y=torch.where(moved, uniform(-shift, shift), 0.0),
        scale=chosen(config.scale_prob, uniform(config.scale_min, config.scale_max), 1.0),
        noise=chosen(config.noise_prob, uniform(0.0, config.noise_std), 0.0),
        noise_place=torch.randint(NOISE_PLACES, (batch,), generator=generator),
        brightness=chosen(config.brightness_prob, uniform(-config.brightness, config.brightness), 0.0),
        contrast=chosen(config.contrast_prob, uniform(1 - config.contrast, 1 + config.contrast), 1.0),
    )


def apply(volumes: Tensor, params: AugmentParams) -> Tensor:
    """Return augmented volumes, (B, 1, H, W, D) in [0, 1] in and out.

    Voxels that come from outside the volume are 0. Brightness and contrast leave voxels at exactly 0 alone
    (air below the window and padding), and the result is clipped to [0, 1].
    """
    return intensity(resample(volumes, params), params)


def resample(volumes: Tensor, params: AugmentParams) -> Tensor:
    """Return (B, 1, H, W, D) ``volumes`` flipped, rotated, shifted and scaled, linearly interpolated, 0 outside.

    An output voxel at centred coordinate p reads the input at M⁻¹(p - t), M = scale · R(angle) · flip.
    """
    params = _on(volumes.device, params)
    batch, _, height, width, depth = volumes.shape
    index, weight = _corners(params, height, width)
    columns = F.embedding_bag(
        index, volumes.reshape(-1, depth), mode="sum", per_sample_weights=weight.to(volumes.dtype)
    )
    weights = _z_weights(params.scale, depth).to(volumes.dtype)
    return torch.bmm(columns.reshape(batch, -1, depth), weights.transpose(1, 2)).reshape(volumes.shape)


def intensity(volumes: Tensor, params: AugmentParams) -> Tensor:
    """Return ``volumes`` with contrast, brightness and noise applied, clipped to [0, 1].

    Noise is read from one table of normal numbers, from each sample's own place on: drawing as many anew takes longer
    than everything else here.
    """
    noisy = [(i, *pair) for i, pair in enumerate(zip(params.noise.tolist(), params.noise_place.tolist(), strict=True))]
    params = _on(volumes.device, params)
    shape = (-1, *[1] * (volumes.dim() - 1))
    changed = volumes * params.contrast.reshape(shape)
    changed.addcmul_(volumes.sign(), params.brightness.reshape(shape))  # 0 where a voxel is 0
    for sample, deviation, place in noisy:
        if deviation:
            changed[sample].add_(normals(volumes[sample].shape, place, volumes.device), alpha=deviation)
    return changed.clamp_(0, 1)


def normals(shape: torch.Size, place: int, device: torch.device) -> Tensor:
    """Return the table's standard normal numbers from ``place`` on, in this shape."""
    count = math.prod(shape)
    return _normal_table(count + NOISE_PLACES, device)[place : place + count].view(shape)


@lru_cache(maxsize=1)
def _normal_table(count: int, device: torch.device) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0)).to(device)


def _on(device: torch.device, params: AugmentParams) -> AugmentParams:
    return AugmentParams(*(p.to(device, non_blocking=True) for p in params))


def _corners(params: AugmentParams, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four columns that each column of the output lies between, and what each counts.

    Both are (B * H * W, 4): an int64 index into the batch's B * H * W columns, and its weight in the in-plane part
    of the resample, 0 for a column outside the volume.
    """
    device = params.angle.device
    cos, sin = torch.cos(params.angle) / params.scale, torch.sin(params.angle) / params.scale
    mirror = 1.0 - 2.0 * params.flip.to(cos.dtype)
    cos, sin, mirror = (value[:, None, None] for value in (cos, sin, mirror))
    middle_x, middle_y = (height - 1) / 2, (width - 1) / 2
    x = (torch.arange(height, device=device) - middle_x - height * params.shift_x[:, None])[:, :, None]
    y = (torch.arange(width, device=device) - middle_y - width * params.shift_y[:, None])[:, None, :]
    # source = flip · R(-angle) · (target - shift) / scale; x runs along H, y along W
    source_x = mirror * (cos * x + sin * y) + middle_x
    source_y = cos * y - sin * x + middle_y
    first = torch.arange(len(params.angle), device=device)[:, None, None, None] * (height * width)
    step = torch.arange(2, device=device)
    at_x, weight_x = _neighbours(source_x, step.repeat_interleave(2), height)
    at_y, weight_y = _neighbours(source_y, step.repeat(2), width)
    return (first + at_x * width + at_y).reshape(-1, 4), (weight_x * weight_y).reshape(-1, 4)


def _neighbours(source: Tensor, step: Tensor, size: int) -> tuple[Tensor, Tensor]:
    r"""Return the voxels (\*source, 4) at ``step`` (4,) from the one below each ``source``, and their weights."""
    below = source.floor()
    at = below[..., None] + step
    weight = 1 - (source[..., None] - at).abs()
    inside = (at >= 0) & (at < size)
    return at.clamp(0, size - 1).long(), weight * inside


def _z_weights(scale: Tensor, depth: int) -> Tensor:
    """Return the (B, D, D) matrices of linear interpolation that magnify z about its centre, 0 outside."""
    centre = (depth - 1) / 2
    target = torch.arange(depth, device=scale.device, dtype=scale.dtype)
    source = (target - centre)[None] / scale[:, None] + centre
    return (1 - (source[:, :, None] - target).abs()).clamp(min=0)
