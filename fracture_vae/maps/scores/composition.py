"""What a map shows, as plain values: weighted scores, flips, smoothing, masks, and how a map becomes one number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from fracture_vae.errors import InputError, nearest
from fracture_vae.maps.scores.aggregate import TOP_FRACTION, require_fraction
from fracture_vae.maps.scores.base import Score, build_score
from fracture_vae.maps.scores.seen import method_of


@dataclass(frozen=True)
class Part:
    """One registered score of a composition.

    Raises:
        InputError: for an unknown score, options it does not take, or a weight that is no number.
    """

    name: str
    weight: float
    score: Score
    options: Mapping[str, Any]

    @classmethod
    def of(cls, said: str | Mapping[str, Any]) -> "Part":
        """Return the part of a name, or of ``{"name", "weight", options …}``."""
        given = {"name": said} if isinstance(said, str) else said
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            raise InputError(f'score {said!r}: give a name, or {{"name": …, "weight": …}} with the score\'s options')
        options = {key: value for key, value in given.items() if key not in ("name", "weight")}
        weight = given.get("weight", 1.0)
        if not _is_finite(weight):
            raise InputError(f"score '{given['name']}': weight {weight!r} must be a number")
        return cls(given["name"], float(weight), build_score(given["name"], **options), options)

    def plain(self) -> dict[str, Any]:
        """Return what `of` takes."""
        return {"name": self.name, "weight": self.weight, **self.options}


@dataclass(frozen=True)
class Composition:
    """How an error map and its case score are made. The map is the weighted sum of ``parts``, then smoothed,
    masked and cut off at 0, in this order; the case score the mean of its largest values.

    Attributes:
        parts: registered scores and their weights.
        flips: spatial axes (0 is left-right of a RAS volume); maps are means over all mirrorings along them.
        smoothing_mm: standard deviation of the Gaussian the map is smoothed with, in mm; 0 for none.
        body_mask: whether the map is 0 outside the body (see `fracture_vae.maps.body`).
        positive_only: whether negative values become 0.
        top_fraction: share of an image's voxels that make the case score.

    Raises:
        InputError: for a value out of range.
    """

    parts: tuple[Part, ...]
    flips: tuple[int, ...] = ()
    smoothing_mm: float = 0.0
    body_mask: bool = False
    positive_only: bool = False
    top_fraction: float = TOP_FRACTION

    def __post_init__(self) -> None:
        if not self.parts:
            raise InputError("score: an empty list; give one score at least")
        axes = [axis for axis in self.flips if isinstance(axis, int) and not isinstance(axis, bool) and 0 <= axis <= 2]
        if len(axes) != len(self.flips) or len(set(axes)) != len(axes):
            raise InputError(f"flips {list(self.flips)}: give axes from 0 (left-right) to 2, each once")
        if not _is_finite(self.smoothing_mm) or not 0 <= self.smoothing_mm <= 100:
            raise InputError(f"smoothing_mm {self.smoothing_mm!r} must be a number from 0 to 100")
        for name in ("body_mask", "positive_only"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} {getattr(self, name)!r} must be true or false")
        if not _is_finite(self.top_fraction):
            raise InputError(f"top_fraction {self.top_fraction!r} must lie in (0, 1]")
        require_fraction(self.top_fraction)

    @property
    def name(self) -> str:
        """What the map is called: its scores' names, joined."""
        return "+".join(part.name for part in self.parts)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values; `compose` takes them back."""
        rest = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "parts"}
        return {"score": [part.plain() for part in self.parts], **rest, "flips": list(self.flips)}


_SETTINGS = ("score", *(field.name for field in fields(Composition) if field.name != "parts"))


def compose(said: str | Sequence[Any] | Mapping[str, Any] | None = None, **over: Any) -> Composition:
    """Return the composition of plain values.

    Args:
        said: the name of a score, a list of names and of ``{"name", "weight", options …}`` whose weighted sum is
            taken, or an object with the key ``score`` that holds either and any of ``flips``, ``smoothing_mm``,
            ``body_mask``, ``positive_only`` and ``top_fraction``; None for ``l1``.
        over: any of these keys; what is not None stands over ``said``.

    Raises:
        InputError: for a key, a score or a value there is not.
    """
    settings = dict(said) if isinstance(said, Mapping) and "name" not in said else {"score": said}
    settings |= {key: value for key, value in over.items() if value is not None}
    for key in settings:
        if key not in _SETTINGS:
            raise InputError(f"score: no setting is called '{key}'{nearest(key, _SETTINGS)}")
    score = settings.pop("score", None)
    listed = ["l1"] if score is None else score if isinstance(score, list | tuple) else [score]
    if "flips" in settings:
        flips = settings["flips"]
        settings["flips"] = tuple(flips) if isinstance(flips, list | tuple) else (flips,)
    return Composition(tuple(map(Part.of, listed)), **settings)


def require_served(scores: Iterable[Score], network: nn.Module) -> None:
    """Require that ``network`` has what ``scores`` need of one.

    Raises:
        InputError: for the first it cannot serve.
    """
    for score in scores:
        for name in score.needs:
            if method_of(network, name) is None:
                raise InputError(
                    f"score {type(score).__name__} needs a network with {name}(), which {type(network).__name__} is "
                    "not; choose another score"
                )


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) < float("inf")
