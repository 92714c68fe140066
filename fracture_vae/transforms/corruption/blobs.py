"""Bumpy, turned ellipsoids with soft edges: the outline of what grows in tissue."""

from typing import NamedTuple

import torch
from torch import Tensor

from fracture_vae.transforms.corruption.box import Box, box_around, shape_for, spatial
from fracture_vae.transforms.corruption.filters import local_mean, strongest
from fracture_vae.transforms.corruption.places import tissue_places
from fracture_vae.transforms.corruption.spline import field

SMALLEST = 1.5
"""Shortest semi-axis in voxels."""
BUMPS = 7
"""Coefficients of the outline's roughness along an axis."""
BUMP = 0.6
"""Their distance, in longest semi-axes."""
ROUGHNESS = 0.18
"""Standard deviation of the outline, in semi-axes; it is cut at two of them."""
UNEVENNESS = 0.35
"""Standard deviation of the strength inside."""
REACH = 1 + 2 * ROUGHNESS
MARGIN = 2
"""Voxels of a box around its blob, so that neighbourhoods of 5 are whole."""


class Blobs(NamedTuple):
    """One blob an image."""

    centre: Tensor
    """(B, D), in voxels, on the images' device; all else is on the CPU until :func:`to_device`."""
    radii: Tensor
    """(B, D), semi-axes in voxels."""
    turn: Tensor
    """(B, D, D), orthonormal; its columns are the directions of the semi-axes."""
    edge: Tensor
    """(B,): the width of the soft edge, as a share of the semi-axes."""
    bumps: Tensor
    """(B, 2, BUMPS, …): spline coefficients of the outline's roughness, and of the strength's unevenness inside."""


def draw_blobs(
    images: Tensor, size: tuple[float, float], generator: torch.Generator, structured: bool = False
) -> Blobs:
    """Draw a blob for each of (B, C, *spatial) ``images``.

    Its longest diameter is drawn uniformly from ``size``, as a share of the shortest axis; the others are 0.6 to 1
    of it. It lies in tissue (see :mod:`fracture_vae.transforms.corruption.places`), where there is ``structured``
    tissue rather than even, if that is asked for.
    """
    batch, dims = len(images), images.dim() - 2
    low, high = (share * min(images.shape[2:]) / 2 for share in size)
    longest = torch.rand(batch, 1, generator=generator) * (high - low) + low
    aspect = torch.rand(batch, dims, generator=generator) * 0.4 + 0.6
    radii = (longest * aspect / aspect.amax(1, keepdim=True)).clamp(min=SMALLEST)
    edge = torch.rand(batch, generator=generator) * 0.5 + 0.5
    return Blobs(
        centre=tissue_places(images, radii.amax(1), structured, generator),
        radii=radii,
        turn=torch.linalg.qr(torch.randn(batch, dims, dims, generator=generator)).Q,
        edge=torch.maximum(edge, SMALLEST / radii.amax(1)).clamp(max=1),
        bumps=torch.randn(batch, 2, *[BUMPS] * dims, generator=generator),
    )


def box_of(blobs: Blobs, size: torch.Size, shape: tuple[int, ...] | None = None, reach: float = REACH) -> Box:
    """Return the box that holds each blob up to ``reach`` semi-axes in images of ``size``, on the images' device.

    ``shape`` gives it that shape instead.
    """
    half = (blobs.turn * blobs.radii[:, None]).norm(dim=-1) * reach + MARGIN
    return box_around(blobs.centre, shape or shape_for(half, size), size)


def depth(blobs: Blobs, box: Box) -> Tensor:
    """Return (B, 1, *box): 1 in the ellipsoid's centre, 0 at its surface, negative outside."""
    shape = (blobs.turn / blobs.radii[:, None]) @ (blobs.turn / blobs.radii[:, None]).mT
    lines = box.offsets(blobs.centre)
    dims = len(lines)
    square: Tensor | float = 0.0
    for i in range(dims):
        for j in range(i, dims):
            along, across = spatial(lines[i], i, dims), spatial(lines[j], j, dims)
            factor = shape[:, i, j].reshape(-1, *[1] * dims) * (1 if i == j else 2)
            square = square + factor * along * across
    return 1 - torch.as_tensor(square).clamp(min=0).sqrt()[:, None]


def weights(blobs: Blobs, box: Box) -> tuple[Tensor, Tensor]:
    """Return two maps (B, 1, *box): 1 deep inside a blob and 0 outside it; and the strength inside, 1 on average."""
    spacing = blobs.radii.amax(1)[:, None] * BUMP
    positions = [line / spacing + (BUMPS - 1) / 2 for line in box.offsets(blobs.centre)]
    rough, uneven = field(blobs.bumps, positions).clamp(-2, 2).split(1, dim=1)
    level = depth(blobs, box) + ROUGHNESS * rough
    edge = blobs.edge.reshape(-1, *[1] * (level.dim() - 1))
    return smooth_step(level / edge), 1 + UNEVENNESS * uneven


def smooth_step(level: Tensor) -> Tensor:
    """Return 0 below 0, 1 above 1, and 3t² - 2t³ between."""
    level = level.clamp(0, 1)
    return level * level * (3 - 2 * level)


def tissue(region: Tensor) -> Tensor:
    """Return (B, 1, *spatial): 1 among positive voxels, towards 0 where a voxel's surroundings are empty."""
    share = local_mean((strongest(region) > 0).to(region.dtype), 5)
    return (2 * share).clamp(max=1)


def to_device(blobs: Blobs, box: Box, device: torch.device) -> tuple[Blobs, Box]:
    """Return both on ``device``."""
    return (
        Blobs(*(value.to(device, non_blocking=True) for value in blobs)),
        box._replace(start=box.start.to(device, non_blocking=True)),
    )


def draw_signed(magnitude: tuple[float, float], batch: int, generator: torch.Generator) -> Tensor:
    """Draw (batch,) magnitudes uniformly, with either sign."""
    low, high = magnitude
    size = torch.rand(batch, generator=generator) * (high - low) + low
    return torch.where(torch.rand(batch, generator=generator) < 0.5, -size, size)
