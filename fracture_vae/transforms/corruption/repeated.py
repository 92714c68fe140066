"""A corruption several times over."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted, Corruption, build_corruption
from fracture_vae.transforms.corruption.options import require_between


class RepeatedParams(NamedTuple):
    """What each round drew."""

    rounds: tuple[Any, ...]


@CORRUPTIONS.add_def("repeated", "another corruption several times over, each time drawn anew")
@dataclass(frozen=True)
class Repeated:
    """Spoils what was spoilt again, so that an image may hold several changes, and a network sees more of them a step.

    Args:
        part: the other corruption's name and options.
        rounds: how often it is applied, 1 to 10.

    Raises:
        InputError: for a part that cannot be built, or an impossible number.
    """

    part: Mapping[str, Any]
    rounds: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.part, Mapping) or not isinstance(self.part.get("name"), str):
            raise InputError(f"corruption Repeated: part {self.part!r}; give a corruption's name and options")
        require_between(self, "rounds", 1, 10)
        if not isinstance(self.rounds, int):
            raise InputError(f"corruption Repeated: rounds is {self.rounds!r}; it must be a whole number")
        assert self._corruption

    @cached_property
    def _corruption(self) -> Corruption:
        return build_corruption(**self.part)

    @property
    def dims(self) -> tuple[int, ...]:
        """Numbers of spatial axes the part can work on."""
        return self._corruption.dims

    @classmethod
    def example(cls) -> "Repeated":
        """Return two strong lesions."""
        return cls({"name": "intensity", "strength": [0.3, 0.5]})

    def draw(self, images: Tensor, generator: torch.Generator) -> RepeatedParams:
        """Draw what the part draws for the unspoilt images, for each round."""
        return RepeatedParams(tuple(self._corruption.draw(images, generator) for _ in range(self.rounds)))

    def apply(self, images: Tensor, params: RepeatedParams) -> Corrupted:
        """Apply the part round by round; what any round changed is marked."""
        done = Corrupted(images, torch.zeros_like(images[:, :1]))
        for drawn in params.rounds:
            image, truth = self._corruption.apply(done.image, drawn)
            done = Corrupted(image, torch.maximum(done.truth, truth))
        return done
