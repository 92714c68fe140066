"""Checks that corruptions share: a range is [low, high], and a value lies in what it may be."""

import math
from collections.abc import Sequence
from typing import Any

from fracture_vae.errors import InputError


def take_range(options: Any, name: str, least: float, most: float) -> None:
    """Make the field ``name`` of a frozen dataclass a pair of numbers, ``least`` ≤ low ≤ high ≤ ``most``.

    Raises:
        InputError: when it is anything else.
    """
    given = getattr(options, name)
    sound = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2 and all(map(_number, given))
    if not sound or not least <= given[0] <= given[1] <= most:
        raise InputError(
            f"corruption {_called(options)}: {name} is {given!r}; give two numbers [low, high] "
            f"from {least:g} to {most:g}"
        )
    object.__setattr__(options, name, (float(given[0]), float(given[1])))


def require_between(options: Any, name: str, least: float, most: float) -> None:
    """Require the field ``name`` to be a number from ``least`` to ``most``.

    Raises:
        InputError: when it is not.
    """
    given = getattr(options, name)
    if not _number(given) or not least <= given <= most:
        raise InputError(
            f"corruption {_called(options)}: {name} is {given!r}; give a number from {least:g} to {most:g}"
        )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _called(options: Any) -> str:
    return type(options).__name__
