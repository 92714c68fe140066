"""AUROC with an interval that respects patients, counted within strata if asked: to know the stratum earns nothing.

Where abnormal cases gather at some levels of the spine, a score that merely recognises the level has a high AUROC.
Compared within a level only, it has 0.5.
"""

from collections.abc import Sequence

import numpy as np

from fracture_vae.errors import InputError
from fracture_vae.evaluation.auroc import Auroc
from fracture_vae.evaluation.case_measures import within_strata
from fracture_vae.evaluation.resampling import draw


def stratified_auroc(
    labels: Sequence[int],
    scores: Sequence[float],
    patients: Sequence[str],
    strata: Sequence[str] | None = None,
    seed: int = 0,
) -> Auroc:
    """Return the share of (abnormal, normal) pairs of one stratum in which the abnormal case scores higher, ties half.

    All pairs weigh the same, so a stratum weighs as many as it has pairs: Σ U_s / Σ n₀ₛ n₁ₛ, with U_s the
    Mann-Whitney statistic of stratum s. With one stratum this is the plain AUROC. The 95 % interval is a percentile
    bootstrap whose resamples draw whole patients; those without a pair do not count.

    Args:
        labels: 0 normal, 1 abnormal; (N,).
        scores: higher is more abnormal; (N,).
        patients: whose case it is; (N,).
        strata: such as the level; (N,). None takes all cases for one stratum.
        seed: of the resamples.

    Raises:
        InputError: when no stratum has both labels, or a score is not a number.
    """
    label, score = np.asarray(labels, dtype=np.int_), np.asarray(scores, dtype=np.float64)
    stratum = np.zeros(len(label), np.int_) if strata is None else np.asarray(strata)
    if unknown := int(np.isnan(score).sum()):
        raise InputError(f"AUROC needs a score for every case; {unknown} are not a number")
    resamples = draw(patients, seed)
    found = within_strata(label, score, resamples.places(patients), stratum, resamples)
    normal, abnormal = int((label == 0).sum()), int((label == 1).sum())
    if not found:
        within = "" if strata is None else " in one stratum"
        raise InputError(f"AUROC needs both labels{within}; there are {normal} normal and {abnormal} abnormal cases")
    return Auroc(*found["auroc"].estimate(), normal, abnormal, len(resamples.names))
