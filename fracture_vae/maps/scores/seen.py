"""What a score looks at: images, and what a network makes of them, each computed on first use and kept."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.networks.quantizers import Quantized


class StageFeatures(NamedTuple):
    """Features of one encoder stage, (B, D, \\*latent) twice."""

    image: Tensor
    reconstruction: Tensor


class Seen:
    """Images and a network's view of them. Every property runs the network once, on first use.

    Args:
        image: (B, C, \\*spatial) in [0, 1], of a size the network takes: padded with zeros where it must be.
        network: in evaluation mode; None where ``reconstruction`` is all there is.
        reconstruction: of image's shape, where it is known already.
        valid: (B, 1, \\*spatial) bool, false in padding and outside the source's field of view; all by default.
        level: (B,) int64, as ``cohort.levels.level_index`` counts, 0 where unknown. It goes to networks that say
            ``takes_level``, as the second argument of ``forward`` and ``decode``.
    """

    def __init__(
        self,
        image: Tensor,
        network: nn.Module | None = None,
        *,
        reconstruction: Tensor | None = None,
        valid: Tensor | None = None,
        level: Tensor | None = None,
    ) -> None:
        self.image = image
        self.network = network
        self.level = level
        if reconstruction is not None:
            self.__dict__["reconstruction"] = reconstruction
        if valid is not None:
            self.__dict__["valid"] = valid.bool()

    @cached_property
    def valid(self) -> Tensor:
        """(B, 1, \\*spatial) bool."""
        return torch.ones_like(self.image[:, :1], dtype=torch.bool)

    @cached_property
    def reconstruction(self) -> Tensor:
        """(B, C, \\*spatial), in the precision the network gives it."""
        network: Any = self._network
        if all(hasattr(network, name) for name in ("encode", "quantize", "decode")):
            shown: Tensor = network.decode(self.quantized.quantized, *self._condition)
        else:
            shown = network(self.image, *self._condition)
        return shown

    @cached_property
    def encoded(self) -> Tensor:
        """Encoder vectors z (B, D, \\*latent)."""
        return self._method("encode")(self.image)

    @cached_property
    def quantized(self) -> Quantized:
        """The quantizer's answer to ``encoded``: code vectors and codes."""
        return self._method("quantize")(self.encoded)

    @property
    def codes(self) -> Tensor:
        """(B, \\*latent) int64."""
        return self.quantized.codes

    @cached_property
    def code_nll(self) -> Tensor:
        """(B, \\*latent) float32: -log p of each code given the others, in nats, by the network's prior."""
        return self._method("code_nll")(self.codes)

    def resampled(self, unlikely: Tensor, generator: torch.Generator, draws: int) -> Tensor:
        """Return codes (draws, B, \\*latent): those ``unlikely`` (B, \\*latent) drawn anew by the network's prior."""
        return self._method("resample")(self.codes, unlikely, generator, draws)

    def decoded(self, codes: Tensor) -> Tensor:
        """Return what the network makes of ``codes`` (B, \\*latent), (B, C, \\*spatial)."""
        return self._method("decode_codes")(codes, *self._condition)

    @cached_property
    def features(self) -> tuple[StageFeatures, ...]:
        """Features of the images and of their reconstructions after each of the encoder's stages."""
        features = self._method("features")
        return tuple(map(StageFeatures, features(self.image), features(self.reconstruction)))

    @cached_property
    def logits(self) -> Tensor:
        """(B, 1, \\*spatial), of the voxels being abnormal.

        The network's ``locate`` is given the reconstruction unless it says that it has no use for one: a
        ``sees_difference`` that is false.
        """
        sees_difference = getattr(self._network, "sees_difference", True)
        logits: Tensor = self._method("locate")(self.image, self.reconstruction if sees_difference else None)
        return logits

    @property
    def _network(self) -> nn.Module:
        if self.network is None:
            raise RuntimeError("a score that looks at the network says in `needs` what it needs of it")
        return self.network

    @property
    def _condition(self) -> tuple[Tensor, ...]:
        return () if self.level is None or not getattr(self.network, "takes_level", False) else (self.level,)

    def _method(self, name: str) -> Callable[..., Any]:
        found = method_of(self._network, name)
        if found is None:
            raise RuntimeError(f"{type(self.network).__name__} has no {name}; a score says in `needs` what it needs")
        return found


def method_of(network: nn.Module, name: str) -> Callable[..., Any] | None:
    """Return a method of ``network``, or of the ``reconstructor`` a detector holds; None where neither has it."""
    modules = (network, getattr(network, "reconstructor", None))
    return next((getattr(module, name) for module in modules if hasattr(module, name)), None)
