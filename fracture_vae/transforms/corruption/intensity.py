"""Lesions darker or brighter than what they replace."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted
from fracture_vae.transforms.corruption.blobs import Blobs, draw_blobs, draw_signed
from fracture_vae.transforms.corruption.local import changed_in, inside
from fracture_vae.transforms.corruption.options import take_range


class IntensityParams(NamedTuple):
    """One drawn lesion an image."""

    blobs: Blobs
    strength: Tensor
    """(B,), added to the intensity; negative is darker."""


@CORRUPTIONS.add_def("intensity", "a blob darker or brighter than its surroundings")
@dataclass(frozen=True)
class Intensity:
    """Adds an uneven offset of either sign in a smooth random blob.

    Args:
        size: the range of its longest diameter, as a share of the shortest axis.
        strength: the range of the offset's magnitude, in units of the normalised intensity.

    Raises:
        InputError: for an impossible range.
    """

    size: tuple[float, float] = (0.05, 0.3)
    strength: tuple[float, float] = (0.08, 0.4)

    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __post_init__(self) -> None:
        take_range(self, "size", 0.01, 1)
        take_range(self, "strength", 0, 1)

    @classmethod
    def example(cls) -> "Intensity":
        """Return a strong one."""
        return cls(strength=(0.3, 0.5))

    def draw(self, images: Tensor, generator: torch.Generator) -> IntensityParams:
        """Draw a lesion for each image."""
        return IntensityParams(
            draw_blobs(images, self.size, generator), draw_signed(self.strength, len(images), generator)
        )

    def apply(self, images: Tensor, params: IntensityParams) -> Corrupted:
        """Add the offset inside the blob, where there is tissue."""
        place = inside(images, params.blobs)
        strength = params.strength.to(images.device, non_blocking=True).reshape(-1, *[1] * (images.dim() - 1))
        return changed_in(images, place, place.region + strength * place.weight * place.uneven)
