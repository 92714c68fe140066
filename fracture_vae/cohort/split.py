"""Folds and hold-out of a study, by patient: the one place that deals patients out (`stratify` says how)."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from fracture_vae.cohort.case import HOLDOUT, Case, absolute, rows_of
from fracture_vae.cohort.content import image_hash
from fracture_vae.cohort.given_folds import apply_folds
from fracture_vae.cohort.holdout import (
    Lock,
    content_problems,
    lock_path,
    make_lock,
    patient_problems,
    read_lock,
    write_lock,
)  # fmt: skip
from fracture_vae.cohort.manifest import (
    Cohort,
    check_cases,
    read_cohort,
    write_cohort,
)
from fracture_vae.cohort.problems import scan_problems, spelling_problems
from fracture_vae.cohort.stratify import Bins, Content, deal
from fracture_vae.errors import InputError


def split_table(
    table: str | os.PathLike[str],
    *,
    folds: int = 5,
    holdout: str | None = None,
    seed: int = 0,
    folds_file: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    reassign: bool = False,
) -> Cohort:
    """Give every patient of a table a fold, draw a hold-out, lock it, and write the table.

    Patients who have a fold keep it. Where the table has a hold-out, it is locked (`holdout`) unless it is already.

    Args:
        table: the cohort.csv.
        folds: how many folds.
        holdout: number of patients the hold-out shall have, or their share as a decimal (0.2); None draws none.
        seed: of the order among patients of equal content.
        folds_file: folds that are given, see `given_folds`; then every patient must be in it.
        out: another table to write instead; it must not exist yet.
        reassign: forget folds first; also the hold-out, if it is not locked and ``holdout`` asks for a new one.

    Raises:
        InputError: for anything that cannot be; nothing is written then.
    """
    cohort = read_cohort(table)
    target = absolute(out) if out is not None else cohort.path
    if target != cohort.path and target.exists():
        raise InputError(f"{target}: is there already; remove it or name another with --out")
    lock = read_lock(target) or read_lock(cohort.path)
    cases = list(cohort.cases)
    if reassign:
        keep_holdout = lock is not None or holdout is None
        cases = [c if c.fold == HOLDOUT and keep_holdout else replace(c, fold="") for c in cases]
    if folds_file is not None:
        cases = apply_folds(cohort.path, cases, absolute(folds_file))
    if holdout is not None:
        cases = _with_holdout(cohort.path, cases, holdout, folds, seed, lock)
    cases = assign_folds(cases, folds, seed)
    check_cases(cohort.path, cases)
    for problem in chain(spelling_problems(cases), scan_problems(cases)):
        raise InputError(f"{cohort.path}: {problem}")
    lock = _locked(target, cases, seed, lock)
    write_cohort(target, cases)
    if lock is not None and not lock.path.exists():
        write_lock(lock)
    return Cohort(target, tuple(cases))


def assign_folds(cases: Sequence[Case], k: int, seed: int = 0) -> list[Case]:
    """Deal patients without a fold out over folds 1..k, whole patients only; those with one keep it.

    Every fold gets alike many patients, fractures, and cases of every level and label, and every level, normals of
    it too, where the data permit. The result does not depend on the order of rows.

    Raises:
        InputError: fewer patients with normal cases than folds, k below 2, or a fold above k among those given.
    """
    dealt = [case for case in cases if case.fold != HOLDOUT]
    held = {case.patient_id: case.fold for case in cases if case.fold}
    if all(case.patient_id in held for case in cases):
        return [replace(case, fold=held[case.patient_id]) for case in cases]
    normal = {case.patient_id for case in dealt if case.label == 0 and held.get(case.patient_id) != HOLDOUT}
    if k < 2 or len(normal) < k:
        remedy = "give k from 2 to that many" if len(normal) > 1 else "label at least two patients' normal cases 0"
        raise InputError(f"{len(normal)} patients with normal cases cannot fill k={k} folds; {remedy}")
    if above := [case for case in dealt if case.fold and int(case.fold) > k]:
        raise InputError(f"{rows_of(above)}: fold {above[0].fold} is above the k={k} folds asked for; ask for more")
    contents = _contents([case for case in dealt if held.get(case.patient_id) != HOLDOUT])
    given = {name: int(fold) - 1 for name, fold in held.items() if name in contents}
    bins = deal(contents, Bins((1,) * k, (1,) * k), given, seed)
    return [replace(case, fold=held.get(case.patient_id) or str(bins[case.patient_id] + 1)) for case in cases]


def draw_holdout(cases: Sequence[Case], count: int, k: int, seed: int = 0) -> list[Case]:
    """Put patients without a fold into the hold-out until it has ``count``, alike in content to all patients.

    So many patients with each level, and with a normal of it, are left to the k folds that each fold can have one.

    Raises:
        InputError: a hold-out larger than that already, too few patients without a fold, or fewer than k left.
    """
    held = {case.patient_id: case.fold for case in cases if case.fold}
    contents = _contents(cases)
    already = sum(fold == HOLDOUT for fold in held.values())
    waiting = len(contents.keys() - held.keys())
    if count < already:
        raise InputError(f"{already} patients are in the hold-out already, more than the {count} asked for")
    if count - already > waiting:
        raise InputError(
            f"a hold-out of {count} needs {count - already} patients without a fold; there are {waiting}: "
            "ask for fewer, or start over with --reassign"
        )
    if len(contents) - count < k:
        raise InputError(
            f"a hold-out of {count} of {len(contents)} patients leaves fewer than {k} for the folds; ask for fewer"
        )
    bins = Bins((count, len(contents) - count), (0, k))
    drawn = deal(contents, bins, {name: int(fold != HOLDOUT) for name, fold in held.items()}, seed) if count else {}
    return [replace(case, fold=HOLDOUT) if drawn.get(case.patient_id) == 0 else case for case in cases]


def holdout_size(text: str, patients: int) -> int:
    """Return how many of ``patients`` a hold-out given as number (``8``) or share (``0.2``) has, at least one.

    Raises:
        InputError: neither a whole number nor a share between 0 and 1.
    """
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"0?\.\d{1,9}", text, re.ASCII) and float(text) > 0:
        return max(1, round(float(text) * patients))
    raise InputError(f"hold-out '{text}': give a number of patients, such as 8, or a share above 0 and below 1")


def _with_holdout(table: Path, cases: list[Case], holdout: str, k: int, seed: int, lock: Lock | None) -> list[Case]:
    count = holdout_size(holdout, len({case.patient_id for case in cases}))
    if lock is None:
        return draw_holdout(cases, count, k, seed)
    if count != len(lock.patients):
        raise InputError(
            f"{table}: the hold-out is locked with {len(lock.patients)} patients, not {count}; leave --holdout out"
        )
    return cases


def _locked(table: Path, cases: Sequence[Case], seed: int, lock: Lock | None) -> Lock | None:
    """Return the lock that goes with a table: the one there, which must hold, or a new one; None without hold-out."""
    held = [case for case in cases if case.fold == HOLDOUT]
    if lock is None:
        return make_lock(table, held, seed) if held else None
    for problem in patient_problems(lock, cases):
        raise InputError(f"{table}: {problem}")
    for problem in content_problems(lock, cases, {case.image: image_hash(case.image) for case in held}):
        raise InputError(f"{table}: {problem}")
    return replace(lock, path=lock_path(table))


def _contents(cases: Sequence[Case]) -> Mapping[str, Sequence[Content]]:
    contents: dict[str, list[Content]] = defaultdict(list)
    for case in cases:
        contents[case.patient_id].append((case.level, case.label))
    return contents
