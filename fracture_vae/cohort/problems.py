"""What a table's rows alone show to be wrong, a line each that names the rows; no image is opened."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from fracture_vae.cohort.case import Case, rows_of
from fracture_vae.cohort.content import canonical


def case_problems(cases: Sequence[Case]) -> Iterator[str]:
    """Yield what cannot be in one table: a case or an image listed twice, a patient in two folds.

    Two case ids are the same where a file system that knows no upper and lower case would take them for one.
    """
    yield from shared(cases, lambda case: case.case_id, "have the same case_id")
    one_each = list({case.case_id: case for case in cases}.values())
    yield from shared(
        one_each,
        lambda case: unicodedata.normalize("NFC", unicodedata.normalize("NFC", case.case_id).casefold()),
        "have case_ids that differ only in upper and lower case or Unicode form, and would share files",
        "rename one",
    )
    yield from shared(cases, lambda case: os.path.realpath(case.image), "name the same image")
    by_patient: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.fold:
            by_patient[case.patient_id].append(case)
    for patient, own in by_patient.items():
        folds = sorted({case.fold for case in own})
        if len(folds) > 1:
            rows = rows_of([next(case for case in own if case.fold == fold) for fold in folds])
            yield f"{rows} put patient '{patient}' in folds {' and '.join(folds)}; keep one fold"


def spelling_problems(cases: Sequence[Case]) -> Iterator[str]:
    """Yield patients and cases whose ids differ only in upper and lower case, blanks or Unicode form."""
    names: dict[str, Callable[[Case], str]] = {"patient_id": lambda c: c.patient_id, "case_id": lambda c: c.case_id}
    for column, name in names.items():
        spelt: dict[str, dict[str, Case]] = defaultdict(dict)
        for case in cases:
            spelt[canonical(name(case))].setdefault(name(case), case)
        for own in spelt.values():
            if len(own) > 1:
                shown = " and ".join(f"'{spelling}'" for spelling in list(own)[:3])
                rows = rows_of(list(own.values()))
                yield f"{rows} spell one {column} in {len(own)} ways ({shown}); spell it alike"


def scan_problems(cases: Sequence[Case]) -> Iterator[str]:
    """Yield scans (by real path; they need not be there) whose crops are in two folds."""
    by_scan: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.source_image is not None:
            by_scan[os.path.realpath(case.source_image)].append(case)
    for path, own in by_scan.items():
        if in_two_folds(own):
            yield f"{rows_and_folds(own)} were cropped from one scan ({Path(path).name}); keep one fold"


def in_two_folds(cases: Iterable[Case]) -> bool:
    """Whether cases are in more than one fold, the hold-out being one and no fold none."""
    return len({case.fold for case in cases if case.fold}) > 1


def rows_and_folds(cases: Sequence[Case]) -> str:
    """Return the rows of cases in words; where they are in two folds, one row of each and the folds."""
    if not in_two_folds(cases):
        return rows_of(cases)
    first = {case.fold: case for case in reversed(cases) if case.fold}
    chosen = sorted(first.values(), key=lambda case: case.row)
    return f"{rows_of(chosen)} in folds {' and '.join(case.fold for case in chosen)}"


def shared(
    cases: Iterable[Case], key: Callable[[Case], str], complaint: str, remedy: str = "keep one row"
) -> Iterator[str]:
    """Yield a complaint, with rows, for every group of cases of which ``key`` says the same."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[key(case)].append(case)
    for own in groups.values():
        if len(own) > 1:
            names = ", ".join(dict.fromkeys(case.image.name for case in own))
            yield f"{rows_of(own)} {complaint} ({own[0].case_id}: {names}); {remedy}"
