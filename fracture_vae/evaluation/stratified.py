"""AUROC with an interval that respects patients, counted within strata if asked: to know the stratum earns nothing.

Where abnormal cases gather at some levels of the spine, a score that merely recognises the level has a high AUROC.
Compared within a level only, it has 0.5.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fracture_vae.errors import InputError
from fracture_vae.evaluation.auroc import Auroc

RESAMPLES = 2000


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
    bootstrap whose resamples draw whole patients; those without a pair are drawn again.

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
    stratum = np.zeros(len(label)) if strata is None else np.asarray(strata)
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    if unknown := int(np.isnan(score).sum()):
        raise InputError(f"AUROC needs a score for every case; {unknown} are not a number")
    won, pairs = _by_patients(label, score, stratum, owner, len(names))
    if not pairs.sum():
        within = "" if strata is None else " in one stratum"
        raise InputError(
            f"AUROC needs both labels{within}; there are {(label == 0).sum()} normal and {(label == 1).sum()} abnormal"
            " cases"
        )
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    while len(drawn) < RESAMPLES:
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        total = times @ pairs @ times
        if total:
            drawn.append(float(times @ won @ times / total))
    low, high = np.percentile(drawn, [2.5, 97.5])
    value = float(won.sum() / pairs.sum())
    return Auroc(value, float(low), float(high), int((label == 0).sum()), int((label == 1).sum()), len(names))


def _by_patients(
    label: NDArray[np.int_], score: NDArray[np.float64], stratum: NDArray, owner: NDArray[np.int_], patients: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, by (patient of the abnormal, patient of the normal case), the pairs won and the pairs there are.

    A resample in which patient p is drawn tₚ times has tᵀ won t of tᵀ pairs t, so that none has to be ranked anew.
    """
    abnormal, normal = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    together = stratum[abnormal][:, None] == stratum[normal][None, :]
    above, below = score[abnormal][:, None], score[normal][None, :]
    wins = np.where(above > below, 1.0, np.where(above == below, 0.5, 0.0)) * together
    place = owner[abnormal][:, None] * patients + owner[normal][None, :]
    won = np.bincount(place.ravel(), wins.ravel(), patients**2)
    pairs = np.bincount(place.ravel(), together.ravel().astype(np.float64), patients**2)
    return np.asarray(won, float).reshape(patients, patients), np.asarray(pairs, float).reshape(patients, patients)
