"""Augmentation of a whole batch on the training device, as one separable resample and a pointwise pass.

Flip, rotation about z, translation in xy and scaling map z to z alone and (x, y) to (x, y) alone, so a 3D
resample is the product of a 2D one with z as channels and a 1D one along z, which avoids the (B, H, W, D, 3)
grid and the eight-corner gather of a 3D one. Drawing the parameters and applying them are separate, so any
augmentation can be recorded and replayed. There is no front-back flip: the spine has a front.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fracture_vae.errors import InputError


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
        brightness=chosen(config.brightness_prob, uniform(-config.brightness, config.brightness), 0.0),
        contrast=chosen(config.contrast_prob, uniform(1 - config.contrast, 1 + config.contrast), 1.0),
    )


def apply(volumes: Tensor, params: AugmentParams, generator: torch.Generator | None = None) -> Tensor:
    """Return augmented volumes, (B, 1, H, W, D) in [0, 1] in and out; ``generator`` draws the noise.

    Voxels that come from outside the volume are 0. Brightness and contrast leave voxels at exactly 0 alone
    (air below the window and padding), and the result is clipped to [0, 1].
    """
    return intensity(resample(volumes, params), params, generator)


def resample(volumes: Tensor, params: AugmentParams) -> Tensor:
    """Return (B, 1, H, W, D) ``volumes`` flipped, rotated, shifted and scaled, linearly interpolated, 0 outside.

    An output voxel at centred coordinate p reads the input at M⁻¹(p - t), M = scale · R(angle) · flip.
    """
    params = _on(volumes.device, params)
    batch, _, height, width, depth = volumes.shape
    slices = volumes[:, 0].permute(0, 3, 1, 2)  # (B, D, H, W): z as channels
    grid = _xy_grid(params, height, width)
    slices = F.grid_sample(slices, grid.to(slices.dtype), "bilinear", "zeros", align_corners=False)
    weights = _z_weights(params.scale, depth).to(slices.dtype)
    columns = slices.reshape(batch, depth, height * width).transpose(1, 2)
    return torch.bmm(columns, weights.transpose(1, 2)).reshape(batch, 1, height, width, depth)


def intensity(volumes: Tensor, params: AugmentParams, generator: torch.Generator | None = None) -> Tensor:
    """Return ``volumes`` with contrast, brightness and noise applied, clipped to [0, 1]."""
    noisy = params.noise.nonzero()[:, 0].to(volumes.device)  # drawing noise takes longer than all the rest
    params = _on(volumes.device, params)
    shape = (-1, *[1] * (volumes.dim() - 1))
    changed = volumes * params.contrast.reshape(shape)
    changed.addcmul_(volumes.sign(), params.brightness.reshape(shape))  # 0 where a voxel is 0
    noise = torch.randn((len(noisy), *volumes.shape[1:]), generator=generator, device=volumes.device)
    changed.index_add_(0, noisy, noise.mul_(params.noise[noisy].reshape(shape)).to(volumes.dtype))
    return changed.clamp_(0, 1)


def _on(device: torch.device, params: AugmentParams) -> AugmentParams:
    return AugmentParams(*(p.to(device) for p in params))


def _xy_grid(params: AugmentParams, height: int, width: int) -> Tensor:
    """Return the (B, H, W, 2) sampling grid of the in-plane part, in grid_sample's normalised (y, x) order.

    Rotation acts on voxels, so for H ≠ W the normalised off-diagonal terms carry the aspect ratio.
    """
    cos, sin = torch.cos(params.angle) / params.scale, torch.sin(params.angle) / params.scale
    mirror = 1.0 - 2.0 * params.flip.to(cos.dtype)
    # source = flip · R(-angle) · (target - shift) / scale; x runs along H, y along W
    xx, xy = mirror * cos, mirror * sin * (width / height)
    yx, yy = -sin * (height / width), cos
    tx, ty = 2 * params.shift_x, 2 * params.shift_y
    theta = torch.stack(
        [
            torch.stack([yy, yx, -(yy * ty + yx * tx)], dim=-1),
            torch.stack([xy, xx, -(xy * ty + xx * tx)], dim=-1),
        ],
        dim=1,
    )
    return F.affine_grid(theta, [theta.shape[0], 1, height, width], align_corners=False)


def _z_weights(scale: Tensor, depth: int) -> Tensor:
    """Return the (B, D, D) matrices of linear interpolation that magnify z about its centre, 0 outside."""
    centre = (depth - 1) / 2
    target = torch.arange(depth, device=scale.device, dtype=scale.dtype)
    source = (target - centre)[None] / scale[:, None] + centre
    return (1 - (source[:, :, None] - target).abs()).clamp(min=0)
