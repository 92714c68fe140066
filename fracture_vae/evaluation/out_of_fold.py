"""What a case is judged by, from cases its own fold has no part in: thresholds, and how often its level is broken."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.manifest import HOLDOUT, Case
from fracture_vae.evaluation.baselines import level_scores

SPECIFICITIES = (0.8, 0.9, 0.95)


class Reference(NamedTuple):
    """Which normals judge each case: a mask (N, N), a row a case; and in words."""

    normals: NDArray[np.bool_]
    told: str


def reference_normals(cases: Sequence[Case]) -> Reference:
    """Return for each case the normals of other folds, none of the hold-out's; of other patients where a case has none.

    The hold-out never sets a threshold, unless nothing else was evaluated.
    """
    folds, patients = np.array([case.fold for case in cases]), np.array([case.patient_id for case in cases])
    normal = np.array([case.label == 0 for case in cases])
    usable = normal & (folds != HOLDOUT)
    others = usable[None, :] & (folds[:, None] != folds[None, :])
    if others.any(1).all():
        return Reference(others, "the normal cases of the other folds")
    pool = usable if usable.any() else normal
    return Reference(
        pool[None, :] & (patients[:, None] != patients[None, :]),
        "the normal cases of other patients, as the maps are of one fold",
    )


def at_specificity(scores: NDArray[np.float64], reference: Reference, specificity: float) -> NDArray[np.float64]:
    """Return each case's threshold, (N,): above it a new normal lies with a probability of at most 1 − specificity.

    The ⌈specificity (n + 1)⌉-th smallest of the n reference normals' scores (split-conformal; Papadopoulos et al.
    2002). Where n is too small for it, infinity: nothing is called abnormal.
    """
    return np.array([_conformal(scores[row], specificity) for row in reference.normals])


def _conformal(normals: NDArray[np.float64], specificity: float) -> float:
    rank = math.ceil(round(specificity * (len(normals) + 1), 9))
    return float(np.partition(normals, rank - 1)[rank - 1]) if rank <= len(normals) else math.inf


def level_alone(known: Sequence[Case], cases: Sequence[Case]) -> NDArray[np.float64]:
    """Score ``cases`` by nothing but their level: how often it is abnormal among labelled cases of other folds.

    Args:
        known: of the whole cohort; the hold-out's are not learned from, nor those without a label.
        cases: to score, (N,). One whose fold leaves no others is scored by other patients.
    """
    learned = [case for case in known if case.label is not None and case.fold != HOLDOUT]
    scores = np.empty(len(cases))
    groups: dict[tuple[str, str], list[int]] = {}
    for place, case in enumerate(cases):
        others = any(other.fold != case.fold for other in learned)
        groups.setdefault((case.fold, "") if others else ("", case.patient_id), []).append(place)
    for (fold, patient), places in groups.items():
        train = [case for case in learned if (case.patient_id != patient if patient else case.fold != fold)]
        own = [cases[place].level for place in places]
        labels = [case.label or 0 for case in train]
        scores[places] = level_scores(own, [case.level for case in train], labels) if train else 0.5
    return scores
