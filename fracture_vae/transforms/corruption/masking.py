"""Blocks hidden at random, which a network restores from what surrounds them."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted, changed
from fracture_vae.transforms.corruption.options import require_between, take_range
from fracture_vae.transforms.corruption.spline import spread

SMALLEST = 2.0
"""Shortest edge of a block in voxels."""


class MaskedBlocksParams(NamedTuple):
    """One drawn grid of blocks an image."""

    edge: Tensor
    """(B,), of a block, in voxels."""
    shift: Tensor
    """(B, D), of the grid, in blocks."""
    hidden: Tensor
    """(B, *blocks) bool."""


@CORRUPTIONS.add_def("masked_blocks", "a share of the blocks of a grid replaced by one value (He et al. 2022)")
@dataclass(frozen=True)
class MaskedBlocks:
    """Replaces a share of an image's blocks, as masked autoencoders do (He et al. 2022, arXiv:2111.06377).

    The grid lies elsewhere in each image, so that block borders mean nothing.

    Args:
        size: the range of a block's edge, as a share of the shortest axis.
        share: the range of the share of blocks hidden.
        fill: the value they get.

    Raises:
        InputError: for an impossible range or a fill outside [0, 1].
    """

    size: tuple[float, float] = (0.06, 0.2)
    share: tuple[float, float] = (0.1, 0.5)
    fill: float = 0.0

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __post_init__(self) -> None:
        take_range(self, "size", 0.01, 1)
        take_range(self, "share", 0, 1)
        require_between(self, "fill", 0, 1)

    @classmethod
    def example(cls) -> "MaskedBlocks":
        """Return one that hides much."""
        return cls(share=(0.5, 0.6))

    def draw(self, images: Tensor, generator: torch.Generator) -> MaskedBlocksParams:
        """Draw a grid for each image, and which of its blocks are hidden."""
        batch, size = len(images), images.shape[2:]
        least, most = (max(SMALLEST, share * min(size)) for share in self.size)
        low, high = self.share
        share = torch.rand(batch, generator=generator) * (high - low) + low
        blocks = [math.ceil(length / least) + 1 for length in size]
        return MaskedBlocksParams(
            edge=torch.rand(batch, generator=generator) * (most - least) + least,
            shift=torch.rand(batch, len(size), generator=generator),
            hidden=torch.rand(batch, *blocks, generator=generator) < share.reshape(-1, *[1] * len(size)),
        )

    def apply(self, images: Tensor, params: MaskedBlocksParams) -> Corrupted:
        """Fill the hidden blocks."""
        edge, shift, hidden = (value.to(images.device, non_blocking=True) for value in params)
        memberships = []
        for axis, size in enumerate(images.shape[2:]):
            block = (torch.arange(size, device=images.device) / edge[:, None] + shift[:, axis, None]).floor()
            blocks = torch.arange(hidden.shape[1 + axis], device=images.device)
            memberships.append((block[..., None] == blocks).to(images.dtype))
        covered = spread(hidden[:, None].to(images.dtype), memberships) > 0.5
        masked = torch.where(covered, self.fill, images)
        return Corrupted(masked, changed(images, masked, covered))
