"""What every score answers to, and scores by registered name."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from fracture_vae import registry
from fracture_vae.errors import InputError
from fracture_vae.maps.scores.seen import Seen


class Score(ABC):
    """From what is :class:`~fracture_vae.maps.scores.seen.Seen` to a map; higher is more abnormal.

    A score is a frozen dataclass of plain options, registered in the store ``scores``. It treats every sample of a
    batch by itself, changes nothing it is given, and runs wherever the images lie, under autocast too.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """Methods the network must have, such as ``encode``. A score that needs none, one of ``image``,
    ``reconstruction`` and ``valid`` alone, is computed beside the network, on the image as it came; any other with
    the network, on the padded image, and cut back."""
    uses_reconstruction: ClassVar[bool] = True
    """Whether a score that needs no method of the network looks at ``reconstruction``. Where nothing does, and none is
    to be written, none is made."""
    display_max: ClassVar[float] = 0.3
    """Upper end of the range a viewer shows the map in."""

    @abstractmethod
    def __call__(self, seen: Seen) -> Tensor:
        """Return a map (B, 1, \\*spatial) float32, finite."""

    @classmethod
    def example(cls) -> "Score":
        """Return a small instance for the contract test."""
        return cls()


def build_score(name: str, **options: Any) -> Score:
    """Return the registered score ``name`` with plain ``options`` (JSON values).

    Raises:
        InputError: for a name nobody registered, or options the score does not take.
    """
    component = registry.get(registry.SCORES, name)
    try:
        score: Score = component(**options)
    except TypeError as error:
        raise InputError(f"score '{name}': {error}") from error
    return score
