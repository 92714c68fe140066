"""Corruptions of images that hold but two values, such as masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted, Corruption, build_corruption, changed


@CORRUPTIONS.add_def("two_valued", "another corruption of images of 0 and 1, whose result holds only these as well")
@dataclass(frozen=True)
class TwoValued:
    """Rounds what another corruption makes to 0 or 1: soft edges would tell a network what was changed.

    What was changed is told from the image that is rounded as well, so that edges which an augmentation has softened
    do not count.

    Args:
        part: the other corruption's name and options.

    Raises:
        InputError: for a part that cannot be built.
    """

    part: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.part, Mapping) or not isinstance(self.part.get("name"), str):
            raise InputError(f"corruption TwoValued: part {self.part!r}; give a corruption's name and options")
        assert self._corruption

    @cached_property
    def _corruption(self) -> Corruption:
        return build_corruption(**self.part)

    @property
    def dims(self) -> tuple[int, ...]:
        """Numbers of spatial axes the part can work on."""
        return self._corruption.dims

    @classmethod
    def example(cls) -> "TwoValued":
        """Return one of strong lumps."""
        return cls({"name": "growth", "size": [0.5, 0.6]})

    def draw(self, images: Tensor, generator: torch.Generator) -> Any:
        """Draw what the part draws."""
        return self._corruption.draw(images, generator)

    def apply(self, images: Tensor, params: Any) -> Corrupted:
        """Apply the part and round."""
        image = _rounded(self._corruption.apply(images, params).image)
        return Corrupted(image, changed(_rounded(images), image, torch.ones_like(images[:, :1])))


def _rounded(images: Tensor) -> Tensor:
    return (images > 0.5).to(images.dtype)
