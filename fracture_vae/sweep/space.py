"""What a search may choose for one setting: a range or a list."""

import json
from dataclasses import dataclass
from typing import Any

from fracture_vae.errors import InputError, nearest

_LARGEST = 1e300


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones only if ``whole``, evenly in their ``log`` if so."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def examples(self) -> tuple[Any, ...]:
        """Return values to check against a config."""
        return (self.low, self.high)

    def decode(self, chosen: Any) -> Any:
        """Return the setting's value for what Optuna chose."""
        return chosen


@dataclass(frozen=True)
class Choices:
    """One of ``values``, in no order. To Optuna they are their JSON, for it takes no lists."""

    values: tuple[Any, ...]

    def examples(self) -> tuple[Any, ...]:
        """Return values to check against a config."""
        return self.values

    def encoded(self) -> list[str]:
        """Return what Optuna chooses from."""
        return [json.dumps(value) for value in self.values]

    def decode(self, chosen: str) -> Any:
        """Return the setting's value for what Optuna chose."""
        return json.loads(chosen)


Dimension = Range | Choices


def read_dimension(content: Any, own: Any, where: str) -> Dimension:
    """Return what ``content``, of a sweep's file, lets a search choose; ``own`` is the value the config has.

    A range is of whole numbers where both bounds are and ``own`` is no fraction.

    Raises:
        InputError: for bounds that are no numbers or the wrong way round, an empty list, or other keys.
    """
    example = "{low: 0.1, high: 10, log: true} or {choices: [2, 4, 8]}"
    if not isinstance(content, dict) or set(content) not in ({"choices"}, {"low", "high"}, {"low", "high", "log"}):
        keys = list(content) if isinstance(content, dict) else []
        known = ("low", "high", "log", "choices")
        unknown = [key for key in keys if key not in known]
        told = f"no '{unknown[0]}' here{nearest(unknown[0], known)}; " if unknown else ""
        raise InputError(f"{where}: {told}write {example}")
    if "choices" in content:
        return _choices(content["choices"], where)
    low, high = (_number(content[name], f"{where}: {name}") for name in ("low", "high"))
    log = content.get("log", False)
    if not isinstance(log, bool):
        raise InputError(f"{where}: log: {log!r} is not true or false")
    if low >= high:
        raise InputError(f"{where}: low {low} is not below high {high}")
    if log and low <= 0:
        raise InputError(f"{where}: low {low} has no logarithm; give a low above 0, or leave log out")
    whole = isinstance(low, int) and isinstance(high, int) and not isinstance(own, float)
    return Range(low, high, log, whole)


def _choices(values: Any, where: str) -> Choices:
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: choices: {values!r} is no list of values")
    try:
        told = [json.dumps(value, allow_nan=False) for value in values]
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: choices: {values!r} holds more than numbers, text and lists of such") from error
    if len(set(told)) < len(told):
        raise InputError(f"{where}: choices: a value is given twice")
    return Choices(tuple(values))


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
        raise InputError(f"{where}: {value!r} is no number")
    return value
