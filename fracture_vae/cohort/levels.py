"""Which number of a vertebra mask is which level: VerSe's and TotalSegmentator's maps by name, others by file."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fracture_vae.cohort.manifest import read_table
from fracture_vae.errors import InputError, nearest

_CERVICAL = [f"C{number}" for number in range(1, 8)]
_THORACIC = [f"T{number}" for number in range(1, 13)]
_LUMBAR = [f"L{number}" for number in range(1, 7)]

SACRAL = ("S1", "sacrum", "coccyx")
ANATOMICAL = (*_CERVICAL, *_THORACIC, "T13", *_LUMBAR, *SACRAL)
"""Levels from head to foot."""

VERSE: Mapping[int, str] = dict(enumerate(_CERVICAL + _THORACIC + _LUMBAR + ["sacrum", "coccyx", "T13"], start=1))
"""VerSe 2019 and 2020: 1–7 C1–C7, 8–19 T1–T12, 20–25 L1–L6, 26 sacrum, 27 coccyx, 28 T13."""
VERSE_NUMBERS: Mapping[str, int] = {level: number for number, level in VERSE.items()} | {"S1": 26}
"""VerSe's number of a level; it has one for the whole sacrum."""

TOTALSEGMENTATOR: Mapping[int, str] = dict(
    enumerate(["sacrum", "S1", *reversed(_CERVICAL + _THORACIC + _LUMBAR[:5])], start=25)
)
"""TotalSegmentator 2, task ``total``: 25 sacrum, 26 S1, 27–31 L5–L1, 32–43 T12–T1, 44–50 C7–C1."""

NAMED = {"verse": VERSE, "totalsegmentator": TOTALSEGMENTATOR}


def level_index(level: str) -> int:
    """Return a level's place in `ANATOMICAL`, counted from 1, as networks are told it; 0 for any other text."""
    return ANATOMICAL.index(level) + 1 if level in ANATOMICAL else 0


def label_map(name_or_file: str | os.PathLike[str]) -> Mapping[int, str]:
    """Return the map from mask number to level.

    Args:
        name_or_file: ``verse``, ``totalsegmentator``, or a file: a CSV with the columns ``label,level`` or a JSON
            object ``{"20": "L1", …}``.

    Raises:
        InputError: no such name or file, or a file that is no such map.
    """
    if str(name_or_file) in NAMED:
        return NAMED[str(name_or_file)]
    file = Path(name_or_file)
    if not file.is_file():
        names = " or ".join(NAMED)
        raise InputError(f"label map '{name_or_file}' is neither {names} nor a file{nearest(str(file), NAMED)}")
    pairs = _json_pairs(file) if file.suffix.lower() == ".json" else _csv_pairs(file)
    levels: dict[int, str] = {}
    for label, level in pairs:
        if not re.fullmatch(r"\d+", label, re.ASCII) or int(label) == 0 or not re.fullmatch(r"[\w.+-]+", level):
            raise InputError(f"{file}: '{label}' → '{level}' is no entry; give a number above 0 and a plain name")
        if int(label) in levels or level in levels.values():
            raise InputError(f"{file}: label {label} or level '{level}' appears twice; keep one")
        levels[int(label)] = level
    if not levels:
        raise InputError(f"{file}: an empty label map; give at least one label and level")
    return levels


def parse_levels(text: str) -> tuple[str, ...]:
    """Expand ``"T4-L5,S1"`` to the levels it names; a range runs from head to foot and includes T13.

    Raises:
        InputError: a range whose ends are not levels in order.
    """
    return tuple(dict.fromkeys(level for part in text.split(",") if part.strip() for level in _expand(part.strip())))


def in_order(levels: Iterable[str]) -> list[str]:
    """Sort levels from head to foot; names outside anatomy come last, by name."""
    rank = {level: index for index, level in enumerate(ANATOMICAL)}
    return sorted(levels, key=lambda level: (rank.get(level, len(rank)), level))


def choose(present: Sequence[int], labels: str, wanted: Sequence[str] | None, where: str) -> dict[str, int]:
    """Pick the levels to crop among the numbers in a mask, in anatomical order.

    By default every vertebra is taken but none of the sacrum or coccyx, which ``wanted`` can name; a wanted level
    the mask lacks is passed over. Numbers outside the map are passed over too (TotalSegmentator's masks hold
    organs), except with ``verse``, where they show that the mask is not VerSe's.

    Args:
        present: the numbers in the mask, without 0.
        labels: as for `label_map`.
        wanted: the levels to take, or None.
        where: the mask file, for messages.

    Raises:
        InputError: an empty mask, the wrong map, an unknown level, or nothing left to crop.
    """
    levels = label_map(labels)
    check_wanted(wanted, levels, labels)
    if not present:
        raise InputError(f"{where}: the mask is empty; give one with a number a vertebra")
    shown = ", ".join(map(str, present[:12])) + (" …" if len(present) > 12 else "")
    foreign = [number for number in present if number not in levels]
    if labels == "verse" and foreign:
        raise InputError(f"{where}: labels {shown} are not all VerSe's (1–28); name the map, as 'totalsegmentator'")
    found = {levels[number]: number for number in present if number in levels}
    taken = [level for level in found if (level in wanted if wanted is not None else level not in SACRAL)]
    if not taken:
        hint = " or ".join(name for name in NAMED if name != labels)
        raise InputError(f"{where}: none of the labels {shown} is a level to crop; is the map {hint}?")
    return {level: found[level] for level in in_order(taken)}


def check_wanted(wanted: Sequence[str] | None, levels: Mapping[int, str], labels: str) -> None:
    """Require every wanted level to be anatomical or in the map ``levels``, called ``labels`` in the message.

    Raises:
        InputError: for the first that is neither.
    """
    for level in wanted or ():
        if level not in levels.values() and level not in ANATOMICAL:
            known = (*levels.values(), *ANATOMICAL)
            raise InputError(f"level '{level}' is neither anatomical nor in the map '{labels}'{nearest(level, known)}")


def _expand(part: str) -> Sequence[str]:
    first, dash, last = (piece.strip() for piece in part.partition("-"))
    if not dash:
        return [part]
    for end in (first, last):
        if end not in ANATOMICAL:
            raise InputError(f"levels '{part}': '{end}' is no level{nearest(end, ANATOMICAL)}; write as T4-L5")
    start, stop = ANATOMICAL.index(first), ANATOMICAL.index(last)
    if start > stop:
        raise InputError(f"levels '{part}': {first} lies below {last}; write the upper level first")
    return ANATOMICAL[start : stop + 1]


def _json_pairs(file: Path) -> list[tuple[str, str]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: not a JSON file; write an object as {{'20': 'L1'}}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a JSON object; write it as {{'20': 'L1'}}")
    return [(label, str(level).strip()) for label, level in content.items()]


def _csv_pairs(file: Path) -> list[tuple[str, str]]:
    return [(row["label"].strip(), row["level"].strip()) for _, row in read_table(file, ("label", "level"))]
