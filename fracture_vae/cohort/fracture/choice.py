"""Which vertebrae of a scan to break, and how: as asked, or a share of them drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.fracture.frame import Array, Mask, find_body
from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Fracture
from fracture_vae.cohort.levels import SACRAL
from fracture_vae.errors import InputError, nearest


def parse_fracture(text: str) -> tuple[str, Fracture]:
    """Return level and fracture of ``LEVEL:TYPE:GRADE``, such as ``L1:wedge:2``.

    Raises:
        InputError: another form, an unknown type or grade.
    """
    parts = [part.strip() for part in text.split(":")]
    if len(parts) != 3 or not parts[0] or not parts[2].isdecimal():
        raise InputError(f"fracture '{text}' is not LEVEL:TYPE:GRADE; write it as L1:wedge:2")
    return parts[0], Fracture(parts[1], int(parts[2]))


def asked(texts: Sequence[str], labels: NDArray[np.uint8], levels: Mapping[str, int]) -> dict[str, Fracture]:
    """Return the fractures asked for, by level.

    Args:
        texts: each as for `parse_fracture`.
        labels: (H, W, D), axes near RAS.
        levels: their numbers by level.

    Raises:
        InputError: a level that is named twice, not in the mask, not thoracic or lumbar, or cut off.
    """
    fractures: dict[str, Fracture] = {}
    for text in texts:
        level, fracture = parse_fracture(text)
        if level in fractures:
            raise InputError(f"fracture '{text}': {level} is broken twice; name a level once")
        if level not in levels:
            raise InputError(
                f"fracture '{text}': {level} is not in the mask{nearest(level, levels)}; it has {', '.join(levels)}"
            )
        if complaint := _unfit(level, labels == levels[level]):
            raise InputError(f"fracture '{text}': {complaint}; choose another level")
        fractures[level] = fracture
    return fractures


def drawn(
    share: float, labels: NDArray[np.uint8], affine: Array, levels: Mapping[str, int], random: np.random.Generator
) -> dict[str, Fracture]:
    """Draw which whole vertebrae break and how: a share of them, at least one, types and grades alike often.

    Raises:
        InputError: a share outside (0, 1], or no vertebra that could break.
    """
    if not 0 < share <= 1:
        raise InputError(f"share {share:g} is no share; give more than 0 and at most 1")
    fit = [level for level, number in levels.items() if _can_break(level, labels == number, affine)]
    if not fit:
        raise InputError("no whole thoracic or lumbar vertebra in the mask; give a scan that shows one")
    count = max(1, int(share * len(fit) + 0.5))
    grades = sorted(GRADE_LOSS)
    broken = sorted(random.choice(len(fit), count, replace=False).tolist())
    return {
        fit[index]: Fracture(TYPES[random.integers(len(TYPES))], grades[random.integers(len(grades))])
        for index in broken
    }


def _can_break(level: str, own: Mask, affine: Array) -> bool:
    if _unfit(level, own):
        return False
    try:
        find_body(own, affine, level)
    except InputError:
        return False
    return True


def _unfit(level: str, own: NDArray[Any]) -> str:
    if level in SACRAL or level.startswith("C"):
        return f"{level} is not thoracic or lumbar"
    if own[:, :, 0].any() or own[:, :, -1].any():
        return f"{level} reaches the scan's {'upper' if own[:, :, -1].any() else 'lower'} border and may be cut off"
    return ""
