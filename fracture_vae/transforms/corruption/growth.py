"""Lumps that grow out of tissue."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted
from fracture_vae.transforms.corruption.blobs import Blobs, box_of, draw_blobs, to_device, weights
from fracture_vae.transforms.corruption.box import cut
from fracture_vae.transforms.corruption.local import Place, changed_in
from fracture_vae.transforms.corruption.options import take_range


class GrowthParams(NamedTuple):
    """One drawn lump an image."""

    blobs: Blobs
    value: Tensor
    """(B, C), what is in the lump's centre."""


@CORRUPTIONS.add_def("growth", "a lump fused to tissue and as bright as it, which also fills what is empty around")
@dataclass(frozen=True)
class Growth:
    """Raises a smooth random blob around a place in tissue to the brightness there, as an aneurysm does.

    Unlike other blobs it does not stop where the image is empty.

    Args:
        size: the range of its longest diameter, as a share of the shortest axis.

    Raises:
        InputError: for an impossible range.
    """

    size: tuple[float, float] = (0.15, 0.4)

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __post_init__(self) -> None:
        take_range(self, "size", 0.01, 1)

    @classmethod
    def example(cls) -> "Growth":
        """Return a large one."""
        return cls(size=(0.5, 0.6))

    def draw(self, images: Tensor, generator: torch.Generator) -> GrowthParams:
        """Draw a lump for each image."""
        blobs = draw_blobs(images, self.size, generator)
        places = blobs.centre.long()
        index: tuple[Any, ...] = (torch.arange(len(images), device=images.device), slice(None), *places.unbind(1))
        return GrowthParams(blobs, images[index])

    def apply(self, images: Tensor, params: GrowthParams) -> Corrupted:
        """Raise what is darker than the lump inside it."""
        blobs, box = to_device(params.blobs, box_of(params.blobs, images.shape[2:]), images.device)
        weight, uneven = weights(blobs, box)
        place = Place(box, cut(images, box), weight, uneven)
        value = params.value.to(images.device, non_blocking=True).reshape(*params.value.shape, *[1] * len(box.shape))
        return changed_in(images, place, torch.maximum(place.region, value * weight))
