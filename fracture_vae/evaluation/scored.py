"""The labelled cases of a folder of maps: their scores, what a calibration said of them, and where their maps lie."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.case import absolute
from fracture_vae.cohort.manifest import Case, Cohort
from fracture_vae.errors import InputError
from fracture_vae.evaluation.calibrated import JUDGED, Calibrated, is_judged, number, read_calibrated
from fracture_vae.files import read_json, sha256
from fracture_vae.maps.table import SCORES_FILE, read_scores

KINDS = ("z", "error")
"""Maps and scores that can be evaluated, the better first: calibrated, and as they are."""


@dataclass(frozen=True)
class Scored:
    """N labelled cases, in the cohort's order.

    Attributes:
        folder: of the maps.
        cases: of the cohort.
        plain: the scores as they are, higher is more abnormal, (N,).
        calibrated: what a calibration said of the cases; None unless it did of all.
        judged: of how many it did.
        models: hashes of the models' files, as scores.csv has them.
        unlabelled: cases with a score whose label the cohort does not know.
    """

    folder: Path
    cases: tuple[Case, ...]
    plain: NDArray[np.float64]
    calibrated: Calibrated | None
    judged: int
    models: tuple[str, ...]
    unlabelled: int

    def scores(self, kind: str) -> NDArray[np.float64]:
        """Return the scores of a kind of maps, (N,)."""
        return self.calibrated.scores if kind == "z" and self.calibrated else self.plain

    def map(self, case: Case, kind: str) -> Path:
        """Return where a case's map of a kind lies."""
        return self.folder / f"{case.case_id}_{kind}.nii.gz"

    def said(self, case: Case, what: str) -> dict[str, Any]:
        """Return what a case's sidecar says of its ``model``, ``calibration``, …; empty where it says nothing."""
        return _said(self.folder, case, what)


def read_scored(folder: str | os.PathLike[str], cohort: Cohort) -> Scored:
    """Read the scores.csv of a folder that an inference wrote.

    Raises:
        InputError: no such table; a case that is not the cohort's, or of another image; a score that is no number, or
            of another inference than the maps; no labelled case, or of one label only.
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
    for row, case in zip(own, cases, strict=True):
        _require_same_inference(path, row, case)
    return Scored(
        Path(folder),
        cases,
        np.array([number(path, row, "score") for row in own]),
        read_calibrated(path, own, [_said(path.parent, case, "calibration") for case in cases]),
        sum(map(is_judged, own)),
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
    """Return what is evaluated: the first of `KINDS` of which there are all scores, and a map of each of ``cases``.

    Raises:
        InputError: a case has none.
    """
    for kind in KINDS if scored.calibrated else KINDS[1:]:
        if all(scored.map(case, kind).is_file() for case in cases):
            return kind
    missing = next(case for case in cases if not scored.map(case, "error").is_file())
    raise InputError(f"{scored.map(missing, 'error')}: no such map, though scores.csv lists its case; run infer again")


def require_kind(scored: Scored, cases: Sequence[Case], kind: str) -> None:
    """Require all scores of that kind, and a map of each of ``cases``.

    Raises:
        InputError: for the first that is missing.
    """
    if kind == "z" and scored.calibrated is None:
        raise InputError(
            f"{scored.folder / SCORES_FILE}: not every case was judged by a calibration; run fracture-vae calibrate "
            "and infer again, or evaluate error maps"
        )
    for case in cases:
        if not scored.map(case, kind).is_file():
            raise InputError(f"{scored.map(case, kind)}: no such map; run infer again, or evaluate another kind of map")


def _require_same_image(path: Path, row: dict[str, str], case: Case) -> None:
    """Require that a row is of the case's image: by its path, or where the study was moved, by its bytes."""
    if not row.get("image") or absolute(row["image"]) == case.image:
        return
    if _said(path.parent, case, "source").get("sha256") != sha256(case.image):
        raise InputError(
            f"{path}: case '{case.case_id}' is of {row['image']}, in the cohort of {case.image}; give the cohort the "
            "maps were made of"
        )


def _require_same_inference(path: Path, row: dict[str, str], case: Case) -> None:
    """Require that a row and its case's sidecar are of one inference: a stopped one has replaced maps, but no rows."""
    model, scores, judged = (_said(path.parent, case, what) for what in ("model", "scores", "calibration"))
    names = {str(model.get("sha256", ""))[:12], row.get("model", "")} - {""}
    told = [("score", value) for name, value in scores.items() if name.endswith("_top")]
    told += [(column, judged[column]) for column in JUDGED if column in judged and row.get(column)]
    same = [
        math.isclose(number(path, row, column), value, rel_tol=1e-4)
        for column, value in told
        if isinstance(value, int | float)
    ]
    if len(names) > 1 or not all(same):
        raise InputError(
            f"{path}: the score of '{case.case_id}' is an earlier inference's than its maps; one was stopped, so run "
            "infer again"
        )


def _said(folder: Path, case: Case, what: str) -> dict[str, Any]:
    sidecar = folder / f"{case.case_id}.json"
    said = read_json(sidecar).get(what) if sidecar.is_file() else None
    return said if isinstance(said, dict) else {}
