"""Folds that a study has already: a CSV, a MONAI datalist or nnU-Net's ``splits_final.json``.

| file | says |
| --- | --- |
| CSV with ``patient_id,fold`` or ``case_id,fold`` | folds as in cohort.csv: 1..k or ``test`` |
| MONAI's JSON, ``training`` and ``testing`` | items by ``patient_id``, ``case_id`` or ``image``; ``fold`` from 0 |
| nnU-Net's JSON, a list of ``{"train": […], "val": […]}`` | the n-th ``val`` is fold n; names are case ids |
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fracture_vae.cohort.case import HOLDOUT, Case
from fracture_vae.cohort.manifest import read_table
from fracture_vae.cohort.volumes import stem
from fracture_vae.errors import InputError, nearest

_MOST = 999  # folds, as in a table


class _Entry(NamedTuple):
    """One statement of a folds file; no fold where it only names a case that must be known."""

    where: str
    by_patient: bool
    name: str
    fold: str


def apply_folds(table: Path, cases: Sequence[Case], file: Path) -> list[Case]:
    """Return the cases with the folds a file gives their patients.

    Raises:
        InputError: an unreadable file; a name the table lacks; a patient given two folds, or another than the table
            has; one of the hold-out put in a fold; a patient of the table the file leaves out. The message names
            the row.
    """
    patients = {case.patient_id: case for case in reversed(cases)}
    by_case = {stem(case.image): case for case in cases} | {case.case_id: case for case in cases}
    given: dict[str, _Entry] = {}
    for entry in _entries(file):
        known = patients if entry.by_patient else by_case
        if entry.name not in known:
            kind = "patient" if entry.by_patient else "case"
            raise InputError(f"{entry.where}: {kind} '{entry.name}' is not in {table}{nearest(entry.name, known)}")
        if not entry.fold:
            continue
        patient = known[entry.name].patient_id
        first = given.setdefault(patient, entry)
        if first.fold != entry.fold:
            raise InputError(
                f"{entry.where} puts patient '{patient}' in fold {entry.fold}, {_short(first.where, file)} in fold "
                f"{first.fold}; keep one"
            )
    for case in cases:
        entry_of = given.get(case.patient_id)
        if entry_of is None:
            if case.fold != HOLDOUT:
                raise InputError(f"{file}: leaves out patient '{case.patient_id}' of row {case.row} of {table}; add it")
        elif case.fold and case.fold != entry_of.fold:
            held = "in the hold-out; leave it there" if case.fold == HOLDOUT else f"in fold {case.fold}; use --reassign"
            raise InputError(
                f"{entry_of.where} puts patient '{case.patient_id}' in fold {entry_of.fold}, "
                f"row {case.row} of {table} {held}"
            )
    return [replace(c, fold=given[c.patient_id].fold) if c.patient_id in given else c for c in cases]


def _entries(file: Path) -> Iterator[_Entry]:
    if file.suffix.lower() != ".json":
        yield from _csv(file)
        return
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"{file}: not a JSON file; give a MONAI datalist or nnU-Net's splits_final.json") from error
    if isinstance(content, list) and content and all(isinstance(c, Mapping) and "val" in c for c in content):
        yield from _nnunet(file, content)
    elif isinstance(content, Mapping) and isinstance(content.get("training"), list):
        yield from _datalist(file, content)
    else:
        raise InputError(f"{file}: neither a MONAI datalist (list 'training') nor nnU-Net's splits_final.json")


def _csv(file: Path) -> Iterator[_Entry]:
    records = read_table(file, ("fold",))
    header = records[0][1]
    column = next((name for name in ("patient_id", "case_id") if name in header), None)
    if column is None:
        raise InputError(f"{file}: no column 'patient_id' or 'case_id'; the first row must name one, and 'fold'")
    for row, fields in records:
        where, fold = f"{file}: row {row}", fields["fold"].strip()
        if not fields[column].strip():
            raise InputError(f"{where}: '{column}' is empty; fill it")
        if fold != HOLDOUT and not (fold.isascii() and fold.isdigit() and 0 < int(fold) <= _MOST):
            raise InputError(f"{where}: fold is '{fold}'; it must be 1..k or '{HOLDOUT}'")
        yield _Entry(where, column == "patient_id", fields[column].strip(), fold if fold == HOLDOUT else str(int(fold)))


def _datalist(file: Path, content: Mapping[str, Any]) -> Iterator[_Entry]:
    for key in ("training", "testing"):
        items = content.get(key, [])
        if not isinstance(items, list):
            raise InputError(f"{file}: '{key}' is no list; give a MONAI datalist")
        for number, item in enumerate(items):
            where = f"{file}: {key}[{number}]"
            named = {"image": item} if isinstance(item, str) else item if isinstance(item, Mapping) else {}
            column = next((c for c in ("patient_id", "case_id", "image") if named.get(c) not in (None, "")), None)
            if column is None:
                raise InputError(f"{where}: names no patient_id, case_id or image; give one")
            name = stem(str(named[column])) if column == "image" else str(named[column])
            fold = HOLDOUT if key == "testing" else _from_zero(named.get("fold"), where)
            yield _Entry(where, column == "patient_id", name, fold)


def _from_zero(fold: Any, where: str) -> str:
    if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < _MOST:
        raise InputError(f"{where}: fold is {fold!r}; it must be a whole number from 0")
    return str(fold + 1)


def _nnunet(file: Path, content: Sequence[Mapping[str, Any]]) -> Iterator[_Entry]:
    for number, split in enumerate(content):
        for key in ("val", "train"):
            names = split.get(key, [])
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise InputError(f"{file}: [{number}].{key} is no list of case ids")
            if key == "train" and (both := set(names) & set(split["val"])):
                raise InputError(f"{file}: [{number}] both trains and validates on '{min(both)}'; keep one")
            for place, name in enumerate(names):
                where = f"{file}: [{number}].{key}[{place}]"
                yield _Entry(where, False, name, str(number + 1) if key == "val" else "")


def _short(where: str, file: Path) -> str:
    return where.removeprefix(f"{file}: ")
