"""Several corruptions, one of them for each image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted, Corruption, build_corruption, rows
from fracture_vae.transforms.corruption.options import require_between


class MixtureParams(NamedTuple):
    """Which corruption each image gets, and what every one of them drew."""

    part: Tensor
    """(B,) int64: the part, or -1 for an image left untouched."""
    drawn: tuple[Any, ...]
    """What each part drew for the whole batch, in the order of the parts; nothing for one that no image gets."""


@CORRUPTIONS.add_def("mixture", "one of several corruptions for each image, some left untouched")
@dataclass(frozen=True)
class Mixture:
    """Gives each image one corruption, drawn by weight.

    Args:
        parts: for each a name, that corruption's options, and a ``weight`` (1 where there is none).
        clean: the share of images left untouched.

    Raises:
        InputError: for no parts, a part that cannot be built, or an impossible weight or share.
    """

    parts: Sequence[Mapping[str, Any]]
    clean: float = 0.1

    def __post_init__(self) -> None:
        require_between(self, "clean", 0, 1)
        if isinstance(self.parts, str) or not isinstance(self.parts, Sequence) or not self.parts:
            raise InputError(
                f"corruption Mixture: parts is {self.parts!r}; give a list of corruptions, each with a name"
            )
        if not sum(weight for weight, _ in self._weighted) > 0:
            raise InputError("corruption Mixture: the weights of its parts are all 0; give one a positive weight")

    @cached_property
    def _weighted(self) -> list[tuple[float, Corruption]]:
        return [_built(part) for part in self.parts]

    @property
    def dims(self) -> tuple[int, ...]:
        """Numbers of spatial axes that all parts can work on."""
        return tuple(dims for dims in (2, 3) if all(dims in part.dims for _, part in self._weighted))

    @classmethod
    def example(cls) -> "Mixture":
        """Return one of two parts."""
        return cls([{"name": "intensity", "strength": [0.3, 0.5]}, {"name": "coarse_noise", "weight": 0.5}], clean=0.2)

    def draw(self, images: Tensor, generator: torch.Generator) -> MixtureParams:
        """Draw a part for each image, and the parameters of the parts drawn."""
        weights = torch.tensor([weight for weight, _ in self._weighted])
        part = torch.multinomial(weights, len(images), replacement=True, generator=generator)
        part = torch.where(torch.rand(len(images), generator=generator) < self.clean, -1, part)
        wanted = [bool((part == number).any()) for number in range(len(self._weighted))]
        drawn = [
            corruption.draw(images, generator) if needed else ()
            for needed, (_, corruption) in zip(wanted, self._weighted, strict=True)
        ]
        return MixtureParams(part, tuple(drawn))

    def apply(self, images: Tensor, params: MixtureParams) -> Corrupted:
        """Apply to each image the part it was given."""
        out = Corrupted(images.clone(), torch.zeros_like(images[:, :1]))
        for number, (_, corruption) in enumerate(self._weighted):
            chosen = (params.part == number).nonzero().flatten()
            if len(chosen):
                there = chosen.to(images.device, non_blocking=True)
                image, truth = corruption.apply(images[there], rows(params.drawn[number], chosen))
                out.image[there], out.truth[there] = image, truth
        return out


def _built(part: Any) -> tuple[float, Corruption]:
    if not isinstance(part, Mapping) or not isinstance(part.get("name"), str):
        raise InputError(f"corruption Mixture: part {part!r}; give each part a name, its options and a weight")
    options = dict(part)
    weight = options.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise InputError(f"corruption Mixture: weight {weight!r} of part '{part['name']}'; give a number from 0 on")
    return float(weight), build_corruption(**options)
