"""Cutting a box out of every image of a batch and putting it back, so that a local change costs no whole volume."""

from typing import NamedTuple

import torch
from torch import Tensor


class Box(NamedTuple):
    """A box in each image of a batch, all of one shape."""

    start: Tensor
    """(B, D) int64, its first voxel."""
    shape: tuple[int, ...]

    def offsets(self, centre: Tensor) -> list[Tensor]:
        """Return for each axis (B, n): how far its voxels lie from ``centre`` (B, D), in voxels."""
        first = self.start - centre
        return [
            first[:, axis, None] + torch.arange(size, device=first.device, dtype=first.dtype)
            for axis, size in enumerate(self.shape)
        ]


def box_around(centre: Tensor, shape: tuple[int, ...], size: torch.Size) -> Box:
    """Return the box of ``shape`` around ``centre`` (B, D) in voxels, moved into an image of ``size``."""
    starts = [
        (place.round().long() - extent // 2).clamp(0, most - extent)
        for place, extent, most in zip(centre.unbind(1), shape, size, strict=True)
    ]
    return Box(torch.stack(starts, 1), shape)


def shape_for(half: Tensor, size: torch.Size) -> tuple[int, ...]:
    """Return the shape of the least box that reaches the batch's largest ``half`` (B, D) voxels from its middle.

    It is cut to an image of ``size``.
    """
    reach = half.amax(0).ceil().long().tolist()
    return tuple(min(2 * one + 1, most) for one, most in zip(reach, size, strict=True))


def cut(images: Tensor, box: Box) -> Tensor:
    r"""Return the boxes (B, C, \*shape) of ``images`` (B, C, \*spatial)."""
    return images[_index(box)].movedim(-1, 1)


def paste(images: Tensor, box: Box, values: Tensor) -> Tensor:
    """Return a copy of ``images`` with ``values`` in the boxes."""
    out = images.clone()
    out[_index(box)] = values.movedim(1, -1)
    return out


def spatial(line: Tensor, axis: int, dims: int) -> Tensor:
    """Return ``line`` (B, n) as (B, 1, …, n, …, 1) along ``axis`` of ``dims``."""
    return line.reshape(len(line), *(line.shape[1] if other == axis else 1 for other in range(dims)))


def _index(box: Box) -> tuple[Tensor | slice, ...]:
    dims = len(box.shape)
    batch = torch.arange(len(box.start), device=box.start.device).reshape(-1, *[1] * dims)
    along = [
        spatial(box.start[:, axis, None] + torch.arange(size, device=box.start.device), axis, dims)
        for axis, size in enumerate(box.shape)
    ]
    return (batch, slice(None), *along)
