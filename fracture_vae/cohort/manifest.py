"""``cohort.csv``, the one description of a study: a row a case, checked when read, kept whole when written.

`fracture_vae.cohort.case` says what the columns mean.
"""

import csv
import gzip
import hashlib
import io
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fracture_vae.cohort.case import COLUMNS, HOLDOUT, REQUIRED, Box, Case, absolute, case_fields, parse_case
from fracture_vae.errors import InputError, nearest
from fracture_vae.files import write_text

__all__ = [
    "HOLDOUT", "Box", "Case", "Cohort", "assign_folds", "check_cases", "check_content", "pseudonym",
    "read_cohort", "read_table", "write_cohort",
]  # fmt: skip


@dataclass(frozen=True)
class Cohort:
    """The cases of a study, as `read_cohort` found them sound."""

    path: Path
    cases: tuple[Case, ...]

    @property
    def folds(self) -> tuple[int, ...]:
        """The fold numbers in use, sorted."""
        return tuple(sorted({int(case.fold) for case in self.cases if case.fold not in ("", HOLDOUT)}))

    def training(self, fold: int | str) -> tuple[Case, ...]:
        """Return the normal cases of all other folds; never a hold-out, an unknown or an unassigned one.

        Raises:
            InputError: no such fold, the hold-out asked for, or nothing to train on.
        """
        self._require(fold)
        others = [case for case in self.cases if case.label == 0 and case.fold not in ("", HOLDOUT, str(fold))]
        return self._some(others, f"no normal case (label 0) outside fold {fold} to train on")

    def validation(self, fold: int | str) -> tuple[Case, ...]:
        """Return the normal cases of the fold.

        Raises:
            InputError: no such fold, the hold-out asked for, or nothing to validate on.
        """
        self._require(fold)
        own = [case for case in self.cases if case.label == 0 and case.fold == str(fold)]
        return self._some(own, f"fold {fold} holds no normal case (label 0) to validate on")

    def holdout(self) -> tuple[Case, ...]:
        """Return the hold-out cases, normal and abnormal; may be none."""
        return tuple(case for case in self.cases if case.fold == HOLDOUT)

    def _require(self, fold: int | str) -> None:
        if str(fold) == HOLDOUT:
            rows = _rows(case.row for case in self.holdout())
            raise InputError(f"{self.path}: hold-out cases ({rows}) never train; give a fold number")
        if not self.folds:
            raise InputError(f"{self.path}: no row has a fold; fill the column 'fold' with 1..k by patient, or 'test'")
        if str(fold) not in map(str, self.folds):
            known = ", ".join(map(str, self.folds))
            raise InputError(f"{self.path}: no row has fold {fold}; there are {known}")

    def _some(self, cases: Sequence[Case], complaint: str) -> tuple[Case, ...]:
        if not cases:
            raise InputError(f"{self.path}: {complaint}; check the columns 'label' and 'fold'")
        return tuple(cases)


def pseudonym(patient_id: str) -> str:
    """Return what stands for a patient in a checkpoint: the first 16 digits of the id's SHA-256."""
    return hashlib.sha256(patient_id.encode()).hexdigest()[:16]


def read_cohort(path: str | os.PathLike[str]) -> Cohort:
    """Read and check a cohort; images are looked for but not opened.

    UTF-8 with or without byte-order mark; fields split by comma, semicolon or tab. Rows are counted as a
    spreadsheet does: the header is row 1.

    Raises:
        InputError: an unreadable table, a missing column or file, a value out of its range, a case or an image
            listed twice, a patient in two folds. The message names the file and the rows.
    """
    file = absolute(path)
    records = read_table(file, REQUIRED)
    cases = tuple(parse_case(fields, file.parent, f"{file}: row {row}", row) for row, fields in records)
    check_cases(file, cases)
    return Cohort(file, cases)


def write_cohort(path: str | os.PathLike[str], cases: Iterable[Case]) -> None:
    """Write a cohort atomically; paths become relative to the file, extra columns follow the known ones."""
    file = absolute(path)
    rows = [case_fields(case, file.parent) for case in cases]
    columns = dict.fromkeys(COLUMNS) | dict.fromkeys(name for row in rows for name in row)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(file, buffer.getvalue())


def check_content(cohort: Cohort) -> None:
    """Refuse a cohort in which one image appears under two names, compared by content (SHA-256, unzipped).

    Raises:
        InputError: names the rows; or an image that cannot be read.
    """
    _refuse_shared(cohort.path, cohort.cases, lambda case: _content_hash(case.image), "hold the same image")


def assign_folds(cases: Sequence[Case], k: int, seed: int = 0) -> list[Case]:
    """Deal patients without a fold out over folds 1..k, whole patients only; those with one keep it.

    The order of patients is shuffled by ``seed`` and does not depend on the order of rows; patients with normal
    cases are dealt first, each to the fold that has the fewest patients, so every fold can validate.

    Raises:
        InputError: fewer patients with normal cases than folds, or k below 2.
    """
    held: dict[str, str] = {case.patient_id: case.fold for case in cases if case.fold}
    normal = {case.patient_id for case in cases if case.label == 0 and held.get(case.patient_id) != HOLDOUT}
    if k < 2 or len(normal) < k:
        raise InputError(
            f"{len(normal)} patients with normal cases cannot fill k={k} folds; give k from 2 to that many"
        )
    counts = {str(number): 0 for number in range(1, k + 1)}
    for fold in held.values():
        counts[fold] = counts.get(fold, 0) + 1
    waiting = sorted({case.patient_id for case in cases} - held.keys())
    shuffled = [waiting[index] for index in np.random.default_rng(seed).permutation(len(waiting))]
    for patient in sorted(shuffled, key=lambda name: name not in normal):
        fold = min((str(number) for number in range(1, k + 1)), key=lambda name: counts[name])
        counts[fold] += 1
        held[patient] = fold
    return [replace(case, fold=case.fold or held[case.patient_id]) for case in cases]


def read_table(file: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV as (spreadsheet row, fields); known columns are stripped of surrounding blanks.

    Raises:
        InputError: missing file, no UTF-8, no rows, missing or repeated columns, a row longer than the header.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not a UTF-8 text; save it as 'CSV UTF-8'") from error
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(f"{file}: not a CSV table ({error}); save it as 'CSV UTF-8'") from error
    header = [name.strip() for name in rows[0]] if rows else []
    for name in required:
        if name not in header:
            raise InputError(f"{file}: no column '{name}'{nearest(name, header)}; the first row must name it")
    if repeated := [name for name in header if header.count(name) > 1]:
        raise InputError(f"{file}: column '{repeated[0]}' appears twice; keep one")
    records = []
    for number, values in enumerate(rows[1:], start=2):
        if len(values) > len(header):
            raise InputError(f"{file}: row {number} has {len(values)} fields, the header {len(header)}; quote commas")
        if any(values):
            padded = values + [""] * (len(header) - len(values))
            records.append((number, dict(zip(header, padded, strict=True))))
    if not records:
        raise InputError(f"{file}: no rows; a cohort needs at least one case")
    return records


def check_cases(file: Path, cases: Sequence[Case]) -> None:
    """Refuse a case or an image listed twice and a patient in two folds; the message names the rows.

    Raises:
        InputError: as said.
    """
    _refuse_shared(file, cases, lambda case: case.case_id, "have the same case_id")
    _refuse_shared(file, cases, lambda case: os.path.realpath(case.image), "name the same image")
    by_patient: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.fold:
            by_patient[case.patient_id].append(case)
    for patient, own in by_patient.items():
        folds = sorted({case.fold for case in own})
        if len(folds) > 1:
            rows = _rows(next(case.row for case in own if case.fold == fold) for fold in folds)
            raise InputError(f"{file}: {rows} put patient '{patient}' in folds {' and '.join(folds)}; keep one fold")


def _refuse_shared(file: Path, cases: Iterable[Case], key: Callable[[Case], str], complaint: str) -> None:
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[key(case)].append(case)
    for own in groups.values():
        if len(own) > 1:
            names = ", ".join(dict.fromkeys(case.image.name for case in own))
            rows = _rows(case.row for case in own)
            raise InputError(f"{file}: {rows} {complaint} ({own[0].case_id}: {names}); keep one row")


def _rows(numbers: Iterable[int]) -> str:
    listed = [str(number) for number in numbers]
    shown = ", ".join(listed[:5]) + (" …" if len(listed) > 5 else "")
    return f"row{'s' if len(listed) != 1 else ''} {shown}" if listed else "no rows"


def _content_hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy or export it again") from error
    return digest.hexdigest()
