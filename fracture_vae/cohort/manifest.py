"""``cohort.csv``, the one description of a study: a row a case, checked when read, kept whole when written.

`fracture_vae.cohort.case` says what the columns mean.
"""

import csv
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fracture_vae.cohort.case import (
    COLUMNS,
    HOLDOUT,
    REQUIRED,
    Box,
    Case,
    absolute,
    case_fields,
    parse_case,
    pseudonym,
    rows_of,
)
from fracture_vae.cohort.holdout import patient_problems, read_lock
from fracture_vae.cohort.problems import case_problems, shared
from fracture_vae.errors import InputError, nearest
from fracture_vae.files import write_csv

__all__ = [
    "HOLDOUT", "Box", "Case", "Cohort", "check_cases", "check_content", "pseudonym", "read_cohort", "read_table",
    "write_cohort",
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

    @property
    def of_vertebrae(self) -> bool:
        """Whether every case is a crop around a vertebra: it says its level and how it was cropped."""
        return all(case.level and case.crop for case in self.cases)

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
            raise InputError(f"{self.path}: hold-out cases ({rows_of(self.holdout())}) never train; give a fold number")
        if not self.folds:
            raise InputError(f"{self.path}: no row has a fold; fill the column 'fold' with 1..k by patient, or 'test'")
        if str(fold) not in map(str, self.folds):
            known = ", ".join(map(str, self.folds))
            raise InputError(f"{self.path}: no row has fold {fold}; there are {known}")

    def _some(self, cases: Sequence[Case], complaint: str) -> tuple[Case, ...]:
        if not cases:
            raise InputError(f"{self.path}: {complaint}; check the columns 'label' and 'fold'")
        return tuple(cases)


def read_cohort(path: str | os.PathLike[str]) -> Cohort:
    """Read and check a cohort; images are looked for but not opened.

    UTF-8 with or without byte-order mark; fields split by comma, semicolon or tab. Rows are counted as a
    spreadsheet does: the header is row 1.

    Raises:
        InputError: an unreadable table, a missing column or file, a value out of its range, a case or an image
            listed twice, a patient in two folds, a patient of the locked hold-out who is in it no more. The message
            names the file and the rows.
    """
    file = absolute(path)
    records = read_table(file, REQUIRED)
    cases = tuple(parse_case(fields, file.parent, f"{file}: row {row}", row) for row, fields in records)
    check_cases(file, cases)
    lock = read_lock(file)
    for problem in patient_problems(lock, cases) if lock else ():
        raise InputError(f"{file}: {problem}")
    return Cohort(file, cases)


def write_cohort(path: str | os.PathLike[str], cases: Iterable[Case]) -> None:
    """Write a cohort atomically; paths become relative to the file, extra columns follow the known ones."""
    file = absolute(path)
    rows = [case_fields(case, file.parent) for case in cases]
    columns = dict.fromkeys(COLUMNS) | dict.fromkeys(name for row in rows for name in row)
    write_csv(file, columns, rows)


def check_content(cohort: Cohort) -> None:
    """Refuse a cohort in which one image appears under two names, compared by content (SHA-256, unzipped).

    Raises:
        InputError: names the rows; or an image that cannot be read.
    """
    for problem in shared(cohort.cases, lambda case: _content_hash(case.image), "hold the same image"):
        raise InputError(f"{cohort.path}: {problem}")


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
    """Refuse the first of the `case_problems`; the message names the rows.

    Raises:
        InputError: as said.
    """
    for problem in case_problems(cases):
        raise InputError(f"{file}: {problem}")


def _content_hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy or export it again") from error
    return digest.hexdigest()
