"""What objectives that restore an image have in common: what the network sees, and what it made of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


class Restored(NamedTuple):
    """An objective's terms for a batch, and what the network made of what it saw."""

    terms: Any
    """A NamedTuple of scalars, the first is total."""
    reconstruction: Tensor
    """(B, C, \\*spatial)."""


class Restoring(Protocol):
    """An objective that tells what the network made of the batch, so that another can build on it."""

    @property
    def network(self) -> nn.Module:
        """What it trains."""

    @property
    def term_names(self) -> tuple[str, ...]:
        """The fields of its terms."""

    def restore(self, batch: Mapping[str, Tensor]) -> Restored:
        """Return the terms and the reconstruction; ``forward`` returns the terms alone."""


def seen(batch: Mapping[str, Tensor]) -> Tensor:
    """Return what the network sees of a batch: ``corrupted`` where there is one, else ``image``, which is the target.

    So a plain reconstruction becomes denoising, or restoration of what a corruption hid or changed.
    """
    return batch.get("corrupted", batch["image"])
