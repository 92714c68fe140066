"""The labelled cases of a folder of maps: their scores, what a calibration said of them, and where their maps lie."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.case import absolute, rows_of
from fracture_vae.cohort.manifest import Case, Cohort
from fracture_vae.errors import InputError
from fracture_vae.files import read_json, sha256
from fracture_vae.maps.table import SCORES_FILE, read_scores

FLAGGED = "flagged"
"""Column of scores.csv that a calibration fills: whether the case is called abnormal."""
KINDS = ("z", "error")
"""Maps that can be evaluated, the better first: the calibrated one, and the one as it is."""


@dataclass(frozen=True)
class Scored:
    """N labelled cases, in the cohort's order.

    Attributes:
        folder: of the maps.
        cases: of the cohort.
        scores: higher is more abnormal, (N,).
        flagged: what the calibration calls abnormal, (N,); None where there is none.
        models: hashes of the models' files, as scores.csv has them.
        unlabelled: cases with a score whose label the cohort does not know.
    """

    folder: Path
    cases: tuple[Case, ...]
    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_] | None
    models: tuple[str, ...]
    unlabelled: int

    def map(self, case: Case, kind: str) -> Path:
        """Return where a case's map of a kind lies."""
        return self.folder / f"{case.case_id}_{kind}.nii.gz"


def read_scored(folder: str | os.PathLike[str], cohort: Cohort) -> Scored:
    """Read the scores.csv of a folder that an inference wrote.

    Raises:
        InputError: no such table; a case that is not the cohort's, or of another image; a score that is no number; no
            labelled case, or of one label only.
    """
    path = Path(folder) / SCORES_FILE
    known = {case.case_id: case for case in cohort.cases}
    rows = {}
    for row in read_scores(path):
        name = row["case_id"]
        if name not in known:
            raise InputError(f"{path}: case '{name}' is not in {cohort.path}; give the cohort the maps were made of")
        if name in rows:
            raise InputError(f"{path}: case '{name}' appears twice; run fracture-vae infer into an empty folder")
        _require_same_image(path, row, known[name])
        rows[name] = row
    cases = tuple(case for case in cohort.cases if case.case_id in rows and case.label is not None)
    abnormal = sum(case.label == 1 for case in cases)
    if not 0 < abnormal < len(cases):
        raise InputError(
            f"{path}: {len(cases) - abnormal} normal and {abnormal} abnormal cases of {cohort.path} have a score; "
            "evaluation needs both"
        )
    own = [rows[case.case_id] for case in cases]
    return Scored(
        Path(folder),
        cases,
        np.array([_number(path, row) for row in own]),
        _flags(path, own),
        tuple(sorted({row["model"] for row in own if row.get("model")})),
        len(rows) - len(cases),
    )


def require_same_cases(scored: Scored, other: Scored) -> None:
    """Require that two folders hold the same labelled cases, so that they can be compared in pairs.

    Raises:
        InputError: they don't.
    """
    mine, others = ({case.case_id for case in one.cases} for one in (scored, other))
    if mine != others:
        some = sorted(mine ^ others)[0]
        lacking, having = (other, scored) if some in mine else (scored, other)
        raise InputError(
            f"{lacking.folder}: {len(mine ^ others)} case(s) are in one of {scored.folder} and {other.folder} only, "
            f"such as {some}, which {having.folder} has; compare maps of the same cases"
        )


def choose_kind(scored: Scored, cases: Sequence[Case]) -> str:
    """Return which map of ``cases`` is evaluated: the first of `KINDS` that all of them have.

    Raises:
        InputError: a case has none.
    """
    kinds = [kind for kind in KINDS if all(scored.map(case, kind).is_file() for case in cases)]
    if kinds:
        return kinds[0]
    missing = next(case for case in cases if not scored.map(case, "error").is_file())
    raise InputError(f"{scored.map(missing, 'error')}: no such map, though scores.csv lists its case; run infer again")


def require_maps(scored: Scored, cases: Sequence[Case], kind: str) -> None:
    """Require the map of that kind of every one of ``cases``.

    Raises:
        InputError: for the first that is missing.
    """
    for case in cases:
        if not scored.map(case, kind).is_file():
            raise InputError(f"{scored.map(case, kind)}: no such map; run infer again, or evaluate another kind of map")


def _require_same_image(path: Path, row: dict[str, str], case: Case) -> None:
    """Require that a row is of the case's image: by its path, or where the study was moved, by its bytes."""
    if not row.get("image") or absolute(row["image"]) == case.image:
        return
    sidecar = path.with_name(f"{case.case_id}.json")
    source = read_json(sidecar).get("source") if sidecar.is_file() else None
    if not isinstance(source, dict) or source.get("sha256") != sha256(case.image):
        raise InputError(
            f"{path}: case '{case.case_id}' is of {row['image']}, in the cohort of {case.image}; give the cohort the "
            "maps were made of"
        )


def _number(path: Path, row: dict[str, str]) -> float:
    try:
        score = float(row["score"])
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{path}: score of '{row['case_id']}' is '{row['score']}', not a number; run infer again")
    return score


def _flags(path: Path, rows: Sequence[dict[str, str]]) -> NDArray[np.bool_] | None:
    """Return the column ``flagged``, or None where it is missing or empty."""
    words = {"1": True, "true": True, "0": False, "false": False}
    given = [row.get(FLAGGED, "").strip().lower() for row in rows]
    if not any(given):
        return None
    for row, word in zip(rows, given, strict=True):
        if word not in words:
            raise InputError(
                f"{path}: {FLAGGED} of '{row['case_id']}' is '{row[FLAGGED]}', not 0 or 1; run infer again"
            )
    return np.array([words[word] for word in given])


def outside(cohort: Cohort, scored: Scored) -> list[str]:
    """Return, a line each, which labelled cases of the cohort have no score though others of their fold have."""
    seen = {case.case_id for case in scored.cases}
    folds = {case.fold for case in scored.cases}
    lines = []
    for fold in sorted(folds):
        lacking = [c for c in cohort.cases if c.fold == fold and c.label is not None and c.case_id not in seen]
        if lacking:
            name = f"fold {fold}" if fold else "no fold"
            lines.append(
                f"{len(lacking)} labelled case(s) of {name} have no score and are left out ({rows_of(lacking)})"
            )
    return lines
