"""Scores of a prior over a VQ-VAE's codes: which are unlikely, and how the image differs from one without them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.scores.base import Score
from fracture_vae.maps.scores.latent import upsampled
from fracture_vae.maps.scores.residuals import l1
from fracture_vae.maps.scores.seen import Seen
from fracture_vae.networks import covered
from fracture_vae.registry import SCORES


@SCORES.add_def("code_likelihood", "-log p of each code given the others, in nats, interpolated; needs a prior")
@dataclass(frozen=True)
class CodeLikelihood(Score):
    """-log p(code | the other codes) under the network's prior, 0 or more, in nats.

    After Naval Marimont and Tarroni 2021 (arXiv:2012.06765), whose prior is autoregressive.
    """

    needs: ClassVar[tuple[str, ...]] = ("encode", "quantize", "code_nll")
    display_max: ClassVar[float] = 12.0

    def __call__(self, seen: Seen) -> Tensor:
        """Return the map, interpolated to the image's size."""
        return upsampled(seen.code_nll[:, None], seen.image)


@SCORES.add_def("restoration", "mean |x - x̃| over draws x̃ in which unlikely codes were drawn anew; needs a prior")
@dataclass(frozen=True)
class Restoration(Score):
    """Mean over draws of |x - x̃|, x̃ decoded after the unlikely codes were drawn anew from the prior.

    After Naval Marimont and Tarroni 2021 (arXiv:2012.06765), draws weighing alike. The same seed draws the same.

    Args:
        threshold: in nats; codes with a larger -log p are unlikely. None for ``quantile``.
        quantile: of an image's own codes, those of padding alone aside; the ones above it are unlikely.
        draws: how many are averaged.
        seed: of the draws.

    Raises:
        InputError: for a value out of range.
    """

    needs: ClassVar[tuple[str, ...]] = ("encode", "quantize", "code_nll", "resample", "decode_codes")
    threshold: float | None = None
    quantile: float = 0.9
    draws: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.threshold is None or _is_number(self.threshold), "threshold", self.threshold, "nats, or null")
        _require(_is_number(self.quantile) and 0 <= self.quantile <= 1, "quantile", self.quantile, "in [0, 1]")
        _require(type(self.draws) is int and self.draws >= 1, "draws", self.draws, "a whole number of at least 1")
        _require(type(self.seed) is int and self.seed >= 0, "seed", self.seed, "a whole number of at least 0")

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over draws and channels."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = seen.resampled(self.unlikely(seen), generator, self.draws)
        residuals = [l1(seen.image, seen.decoded(codes).float()) for codes in drawn]
        return torch.stack(residuals).mean(0)

    def unlikely(self, seen: Seen) -> Tensor:
        """Return which codes are drawn anew, (B, \\*latent) bool."""
        nll = seen.code_nll
        if self.threshold is not None:
            return nll > self.threshold
        counted = torch.where(covered(seen.valid, seen.codes), nll, torch.nan).flatten(1)
        limit = counted.nanquantile(self.quantile, dim=1)
        return nll > limit.view(-1, *[1] * (nll.dim() - 1))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise a one-line InputError about an option unless it ``holds``."""
    if not holds:
        raise InputError(f"score 'restoration': {name} {value!r} must be {expected}")
