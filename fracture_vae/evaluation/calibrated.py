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
        InputError: a score that is no number, a flag that is neither 0 nor 1.
    """
    if not rows or not all(row.get(SCORE) and row.get(FLAGGED) for row in rows):
        return None
    for row in rows:
        if row[FLAGGED] not in _WORDS:
            raise InputError(
                f"{path}: {FLAGGED} of '{row['case_id']}' is '{row[FLAGGED]}', not 0 or 1; run infer again"
            )
    return Calibrated(
        np.array([number(path, row, SCORE) for row in rows]),
        np.array([_WORDS[row[FLAGGED]] for row in rows]),
        np.array([_threshold(said) for said in sidecars]),
        tuple(sorted({float(said["alpha"]) for said in sidecars if "alpha" in said})),
        min((int(said.get("healthy_patients", 0)) for said in sidecars), default=0),
    )


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


def _threshold(said: Mapping[str, Any]) -> float:
    """Return a sidecar's threshold: JSON has no infinity, there it is null."""
    if "threshold" not in said:
        return math.nan
    return math.inf if said["threshold"] is None else float(said["threshold"])
