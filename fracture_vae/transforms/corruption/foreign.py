"""Patches of another image, interpolated into this one."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted
from fracture_vae.transforms.corruption.blobs import Blobs, box_of, draw_blobs
from fracture_vae.transforms.corruption.box import cut
from fracture_vae.transforms.corruption.local import changed_in, inside
from fracture_vae.transforms.corruption.options import require_between, take_range
from fracture_vae.transforms.corruption.places import tissue_box


class PatchParams(NamedTuple):
    """One drawn patch an image."""

    blobs: Blobs
    share: Tensor
    """(B,) in [0, 1]: how much of the patch is mixed in."""
    patch: Tensor
    """(B, C, *box): what was in the other image. It is kept, so that a replay needs no other image."""


@dataclass(frozen=True)
class Patch:
    """What patches have in common.

    Args:
        size: the range of the blob's longest diameter, as a share of the shortest axis.
        share: the range of how much of the patch is mixed in, 0 to 1.
        shift: how far from the blob's place the patch may be taken, as a share of an axis; 0 takes it from the same
            place. A batch of one takes it from anywhere in the same image.

    Raises:
        InputError: for an impossible range.
    """

    size: tuple[float, float] = (0.08, 0.35)
    share: tuple[float, float] = (0.4, 1.0)
    shift: float = 0.15

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __post_init__(self) -> None:
        take_range(self, "size", 0.01, 1)
        take_range(self, "share", 0, 1)
        require_between(self, "shift", 0, 1)

    @classmethod
    def example(cls) -> "Patch":
        """Return a strong one."""
        return cls(share=(0.9, 1.0))

    def draw(self, images: Tensor, generator: torch.Generator) -> PatchParams:
        """Draw a blob for each image, and take a patch of its shape from another image."""
        batch, size, device = len(images), torch.tensor(images.shape[2:]), images.device
        least, most = self.share
        blobs = draw_blobs(images, self.size, generator, structured=True)
        share = torch.rand(batch, generator=generator) * (most - least) + least
        giver = (torch.arange(batch) + torch.randint(1, max(batch, 2), (batch,), generator=generator)) % batch
        reach = self.shift if batch > 1 else 1.0
        moved = ((torch.rand(batch, len(size), generator=generator) * 2 - 1) * reach * size).round().long()
        box = box_of(blobs, images.shape[2:])
        low, high = tissue_box(images)
        shape = torch.tensor(box.shape)
        giver, moved, shape, last = (
            value.to(device, non_blocking=True) for value in (giver, moved, shape, size - shape)
        )
        start = _kept_in(low[giver], high[giver], box.start + moved, shape)
        source = box._replace(start=start.clamp(min=0).minimum(last))
        return PatchParams(blobs, share, cut(images[giver], source))


def _kept_in(low: Tensor, high: Tensor, start: Tensor, shape: Tensor) -> Tensor:
    """Return ``start`` (B, D), moved so that a box of ``shape`` lies between ``low`` and ``high``.

    In their middle, if it is larger: what another image's padding holds is no patch of it.
    """
    last = high + 1 - shape
    middle = (low + last) / 2
    return start.clamp(torch.minimum(low, middle).long(), torch.maximum(last, middle).long())


@CORRUPTIONS.add_def("foreign_patch", "a blob interpolated with another image of the batch (Tan et al. 2020)")
@dataclass(frozen=True)
class ForeignPatch(Patch):
    """Mixes a patch of another image into a blob of this one.

    Tan et al. 2020, "Detecting Outliers with Foreign Patch Interpolation" (arXiv:2011.04197), eq. 1, with a soft
    blob for the paper's cube.
    """

    def apply(self, images: Tensor, params: PatchParams) -> Corrupted:
        """Interpolate between image and patch inside the blob."""
        place = inside(images, params.blobs, tuple(params.patch.shape[2:]))
        share = params.share.to(images.device, non_blocking=True).reshape(-1, *[1] * (images.dim() - 1))
        mixed = torch.lerp(place.region, params.patch.to(images.device, non_blocking=True), share * place.weight)
        return changed_in(images, place, mixed)
