"""What a calibration said of cases: their scores in healthy spreads, which it calls abnormal, and from where up."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.errors import InputError

SCORE = "score_z"
FLAGGED = "flagged"
JUDGED = (SCORE, "p_value", "p_case", FLAGGED)
"""Columns of scores.csv that a case's sidecar has, too."""
_WORDS = {"1": True, "0": False}


class Calibrated(NamedTuple):
    """N cases that a calibration judged.

    Attributes:
        scores: aggregate of the z map, (N,).
        flagged: called abnormal, (N,).
        thresholds: z above which a voxel is marked, (N,); infinite where nothing exceeds it, NaN where it is not told.
        alphas: rates of false alarms asked for, rising; one, unless cases of several calibrations lie together.
        patients: fewest healthy patients that a case was compared with; 0 where it is not told.
    """

    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    thresholds: NDArray[np.float64]
    alphas: tuple[float, ...]
    patients: int


def read_calibrated(
    path: Path, rows: Sequence[Mapping[str, str]], sidecars: Sequence[Mapping[str, Any]]
) -> Calibrated | None:
    """Return what a calibration said, or None where it did not say it of every case.

    Args:
        path: the scores.csv, to be named.
        rows: of it.
        sidecars: what each case's sidecar says of the calibration; empty where it says nothing.

    Raises:
        InputError: a score that is no number, a flag that is neither 0 nor 1, a sidecar that says what cannot be.
    """
    if not rows or not all(map(is_judged, rows)):
        return None
    for row in rows:
        if row[FLAGGED] not in _WORDS:
            raise InputError(
                f"{path}: {FLAGGED} of '{row['case_id']}' is '{row[FLAGGED]}', not 0 or 1; run infer again"
            )
    told = [_told(path, row, said) for row, said in zip(rows, sidecars, strict=True)]
    return Calibrated(
        np.array([number(path, row, SCORE) for row in rows]),
        np.array([_WORDS[row[FLAGGED]] for row in rows]),
        np.array([one.threshold for one in told]),
        tuple(sorted({one.alpha for one in told if one.alpha is not None})),
        min((one.patients for one in told), default=0),
    )


def is_judged(row: Mapping[str, str]) -> bool:
    """Return whether a row of scores.csv says what a calibration made of its case."""
    return bool(row.get(SCORE) and row.get(FLAGGED))


def number(path: Path, row: Mapping[str, str], column: str) -> float:
    """Return a row's number.

    Raises:
        InputError: it is none, or not finite.
    """
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: {column} of '{row['case_id']}' is '{row[column]}', not a number; run infer again")
    return value


class _Told(NamedTuple):
    """What a sidecar says of a calibration."""

    threshold: float
    alpha: float | None
    patients: int


def _told(path: Path, row: Mapping[str, str], said: Mapping[str, Any]) -> _Told:
    """Return what a sidecar says; JSON has no infinity, there a threshold that nothing exceeds is null."""
    threshold, alpha, patients = said.get("threshold", math.nan), said.get("alpha"), said.get("healthy_patients", 0)
    fits = {
        "threshold": "threshold" not in said or threshold is None or _is_number(threshold),
        "alpha": "alpha" not in said or _is_number(alpha, 0, 1),
        "healthy_patients": isinstance(patients, int) and patients >= 0,
    }
    for name, fit in fits.items():
        if not fit:
            file = path.with_name(f"{row['case_id']}.json")
            raise InputError(f"{file}: its calibration is damaged ({name} is {said[name]!r}); run infer again")
    return _Told(math.inf if threshold is None else float(threshold), alpha, patients)


def _is_number(value: object, above: float = -math.inf, below: float = math.inf) -> bool:
    return isinstance(value, int | float) and above < value < below
