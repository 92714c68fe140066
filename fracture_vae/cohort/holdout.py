"""The lock of a hold-out: a small file beside the table that says who is in it, so that it cannot drift.

``cohort.csv`` has its lock in ``cohort.holdout.json``. Patients stand in it as pseudonyms (`pseudonym` of the
`canonical` id, so that another spelling is still the same patient), images as hashes of their voxels.
"""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from fracture_vae import __version__
from fracture_vae.cohort.case import HOLDOUT, Case, absolute, pseudonym, rows_of
from fracture_vae.cohort.content import canonical, image_hash
from fracture_vae.errors import InputError
from fracture_vae.files import write_text

logger = logging.getLogger(__name__)

LOCK_FORMAT = 1


@dataclass(frozen=True)
class Lock:
    """A hold-out as it was locked.

    Args:
        path: the lock's file.
        patients: pseudonym to the hashes of the patient's images, sorted.
        locked: when, UTC, ISO 8601.
        seed: that drew the hold-out.
        version: of this package.
    """

    path: Path
    patients: Mapping[str, tuple[str, ...]]
    locked: str
    seed: int
    version: str


def lock_path(table: str | os.PathLike[str]) -> Path:
    """Return where the lock of a table lies: ``<table's stem>.holdout.json`` beside it."""
    file = absolute(table)
    return file.with_name(f"{file.stem}.holdout.json")


def read_lock(table: str | os.PathLike[str]) -> Lock | None:
    """Return the lock of a table, or None where there is none.

    Raises:
        InputError: a lock that cannot be read; it is never taken for no lock.
    """
    path = lock_path(table)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != LOCK_FORMAT:
            raise InputError(f"{path}: a lock of format {content['format']}; this version reads {LOCK_FORMAT}")
        patients = {str(name): tuple(map(str, hashes)) for name, hashes in content["patients"].items()}
        return Lock(path, patients, str(content["locked"]), int(content["seed"]), str(content["version"]))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a hold-out lock, or damaged; restore it from a copy") from error


def make_lock(table: str | os.PathLike[str], cases: Sequence[Case], seed: int) -> Lock:
    """Return the lock of the hold-out among ``cases``, whose images are read; nothing is written.

    Raises:
        InputError: an image of the hold-out cannot be read.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if case.fold == HOLDOUT:
            found[_pseudonym(case)].append(image_hash(case.image))
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    patients = {name: tuple(sorted(hashes)) for name, hashes in sorted(found.items())}
    return Lock(lock_path(table), patients, now, seed, __version__)


def write_lock(lock: Lock) -> None:
    """Write a lock atomically."""
    content = {
        "what": "locked hold-out: these patients (pseudonyms) and images (hashes of their voxels) never train",
        "format": LOCK_FORMAT,
        "locked": lock.locked,
        "seed": lock.seed,
        "version": lock.version,
        "patients": {name: list(hashes) for name, hashes in lock.patients.items()},
    }
    write_text(lock.path, json.dumps(content, indent=2) + "\n")


def patient_problems(lock: Lock, cases: Sequence[Case]) -> Iterator[str]:
    """Yield what patients of ``cases`` break the lock: one moved out of the hold-out, or gone. Opens no image."""
    by_patient = _by_pseudonym(cases)
    for name, own in by_patient.items():
        moved = [case for case in own if case.fold != HOLDOUT and name in lock.patients]
        if moved:
            folds = " and ".join(sorted({f"fold {case.fold}" if case.fold else "no fold" for case in moved}))
            yield (
                f"{rows_of(moved)} put locked hold-out patient '{moved[0].patient_id}' in {folds}; "
                f"set fold to '{HOLDOUT}' again ({lock.path.name})"
            )
    if gone := lock.patients.keys() - by_patient.keys():
        yield f"{len(gone)} patient(s) of the locked hold-out have no row any more; restore them ({lock.path.name})"


def content_problems(lock: Lock, cases: Sequence[Case], hashes: Mapping[Path, str]) -> Iterator[str]:
    """Yield what in the hold-out's images breaks the lock: changed or new ones, ones gone, patients added.

    Args:
        lock: the lock.
        cases: of the whole table.
        hashes: `voxel_hash` by path of the hold-out's images; a patient with an image not in it is passed over.
    """
    for name, own in _by_pseudonym(cases).items():
        held = [case for case in own if case.fold == HOLDOUT]
        locked = lock.patients.get(name)
        if locked is None and held:
            yield (
                f"{rows_of(held)}: patient '{held[0].patient_id}' was added to the locked hold-out and may have "
                f"trained a model; give another fold, or delete {lock.path.name} to lock anew"
            )
        if locked is None or len(held) < len(own) or any(case.image not in hashes for case in held):
            continue
        for case in held:
            if hashes[case.image] not in locked:
                yield f"row {case.row}: {case.image.name} of the locked hold-out was changed or added; restore it"
        if gone := len(set(locked) - {hashes[case.image] for case in held}):
            yield (
                f"{rows_of(held)}: {gone} image(s) of patient '{held[0].patient_id}' in the locked hold-out are not as "
                f"locked, or gone; restore them ({lock.path.name})"
            )


def guard_holdout(cases: Sequence[Case], allowed: bool) -> None:
    """Refuse cases of the hold-out, or, where they are ``allowed``, log a warning with their number and folder.

    Raises:
        InputError: there are such cases and they are not allowed.
    """
    held = [case for case in cases if case.fold == HOLDOUT]
    if not held:
        return
    folder = os.path.commonpath([case.image.parent for case in held])
    if not allowed:
        raise InputError(
            f"{folder}: {len(held)} hold-out case(s) ({rows_of(held)}) were asked for in training; "
            "leave them out, or pass allow_holdout knowingly"
        )
    logger.warning("allow_holdout: reading %d hold-out case(s) (%s) of %s", len(held), rows_of(held), folder)


def _by_pseudonym(cases: Sequence[Case]) -> dict[str, list[Case]]:
    by_patient: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_patient[_pseudonym(case)].append(case)
    return by_patient


def _pseudonym(case: Case) -> str:
    return pseudonym(canonical(case.patient_id))
