"""What must be known to read an evaluation's figures, a sentence each."""

import math
from collections.abc import Sequence

import numpy as np

from fracture_vae.cohort.case import pseudonym, rows_of
from fracture_vae.cohort.manifest import HOLDOUT, Case, Cohort
from fracture_vae.evaluation.calibrated import Calibrated
from fracture_vae.evaluation.out_of_fold import reference_normals
from fracture_vae.evaluation.scored import Scored


def notes_of(cohort: Cohort, scored: Scored, kind: str, mapped: Sequence[Case]) -> list[str]:
    """Return the sentences.

    Args:
        cohort: all cases.
        scored: those evaluated.
        kind: of their maps and scores.
        mapped: those whose voxels are compared.
    """
    return [
        *_seen(scored),
        f"thresholds of a fixed specificity: for each case from {reference_normals(scored.cases).told}; intervals take "
        "them as given",
        *_calibration(scored, kind, mapped),
        *_models(scored, kind),
        *_means(scored),
        *_outside(cohort, scored),
        *_together(scored.cases),
        *_masks(scored, mapped),
    ]


def _seen(scored: Scored) -> list[str]:
    """Say which cases' patients their model was trained on, as the sidecars tell it."""
    seen = [
        case for case in scored.cases if pseudonym(case.patient_id) in scored.said(case, "model").get("trained_on", ())
    ]
    if not seen:
        return []
    return [
        f"{len(seen)} of the cases are of patients that their model was trained on ({rows_of(seen)}): no new patient "
        "would be found like that; run infer out of fold"
    ]


def _calibration(scored: Scored, kind: str, mapped: Sequence[Case]) -> list[str]:
    found = scored.calibrated
    if found is None:
        some = f"{scored.judged} of {len(scored.cases)} cases were judged by a calibration" if scored.judged else ""
        return [f"{some or 'not calibrated'}: nothing is said at a calibrated threshold"]
    if kind != "z":
        lacking = [case.case_id for case in mapped if not scored.map(case, "z").is_file()]
        why = f", as {len(lacking)} case(s) have no z map, such as {lacking[0]}" if lacking else ""
        return [f"maps and scores as before calibration{why}: nothing is said at the calibrated threshold"]
    notes = [_promise(found, alpha) for alpha in found.alphas]
    if any(case.label == 0 and case.fold not in ("", HOLDOUT) for case in scored.cases):
        notes.append(
            "normal cases of the folds may be among those calibrated on: what is said of them at the calibrated "
            "threshold was set, not tested; the hold-out tests it"
        )
    if np.isnan(found.thresholds).any():
        notes.append("not every sidecar tells the calibrated threshold: no Dice at it")
    return notes


def _promise(found: Calibrated, alpha: float) -> str:
    needed = math.ceil(round(1 / alpha, 9)) - 1
    few = f", on {found.patients} healthy patients: too few to call any case abnormal, which takes {needed}"
    return f"calibrated for false alarms in at most {alpha:g} of healthy cases" + (
        few if 0 < found.patients < needed else ""
    )


def _models(scored: Scored, kind: str) -> list[str]:
    if kind == "z" or len(scored.models) < 2:
        return []
    return [
        f"scores of {len(scored.models)} models are ranked together as they are; where their scales differ, that "
        "costs; calibrated ones share a scale"
    ]


def _means(scored: Scored) -> list[str]:
    """Say where means over several models lie beside single models' scores, as the hold-out's beside the folds'."""
    means = sum(bool(scored.said(case, "model").get("ensemble")) for case in scored.cases)
    if not 0 < means < len(scored.cases):
        return []
    return [
        f"{means} of the cases were scored by means over several models, the others by one: means scatter less, so a "
        "threshold of fixed specificity set on the one kind does not hold for the other, and ranking both together "
        "may cost; give each a folder of its own"
    ]


def _outside(cohort: Cohort, scored: Scored) -> list[str]:
    """Say which labelled cases have no score though others of their fold have."""
    seen = {case.case_id for case in scored.cases}
    lines = []
    for fold in sorted({case.fold for case in scored.cases}):
        lacking = [c for c in cohort.cases if c.fold == fold and c.label is not None and c.case_id not in seen]
        if lacking:
            name = f"fold {fold}" if fold else "no fold"
            lines.append(
                f"{len(lacking)} labelled case(s) of {name} have no score and are left out ({rows_of(lacking)})"
            )
    return lines


def _together(cases: Sequence[Case]) -> list[str]:
    held = sum(case.fold == HOLDOUT for case in cases)
    if not 0 < held < len(cases):
        return []
    return [f"{held} of the cases are of the hold-out, {len(cases) - held} are not; they are measured together"]


def _masks(scored: Scored, mapped: Sequence[Case]) -> list[str]:
    notes = []
    if scored.unlabelled:
        notes.append(f"{scored.unlabelled} case(s) with a score have no label and are left out")
    if not mapped:
        return [*notes, "no case has a mask: voxels are not compared"]
    if without := sum(case.label == 1 and case.mask is None for case in scored.cases):
        notes.append(f"{without} abnormal case(s) have no mask and are left out where voxels are compared")
    return notes
