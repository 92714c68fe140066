"""Area under the ROC curve, with an interval that respects patients."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fracture_vae.errors import InputError

RESAMPLES = 2000


class Auroc(NamedTuple):
    """AUROC and its 95 % interval over patients, with what it rests on."""

    value: float
    low: float
    high: float
    normal: int
    abnormal: int
    patients: int

    def __str__(self) -> str:
        return (
            f"{self.value:.2f} (95 % interval {self.low:.2f} to {self.high:.2f}; {self.abnormal} abnormal and "
            f"{self.normal} normal cases of {self.patients} patients)"
        )


def auroc(labels: NDArray[np.int_], scores: NDArray[np.float64]) -> float:
    """Return the probability that an abnormal case (label 1) scores above a normal one (label 0), ties half.

    The Mann-Whitney statistic U / (n₀ n₁) (Hanley & McNeil 1982).

    Raises:
        InputError: when one of the labels is missing, or a score is not a number.
    """
    positive = labels == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if n0 == 0 or n1 == 0:
        raise InputError(f"AUROC needs both labels; there are {n0} normal and {n1} abnormal cases")
    if unknown := int(np.isnan(scores).sum()):
        raise InputError(f"AUROC needs a score for every case; {unknown} are not a number")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n0 * n1))


def patient_auroc(labels: Sequence[int], scores: Sequence[float], patients: Sequence[str], seed: int = 0) -> Auroc:
    """Return the AUROC with a percentile bootstrap interval whose resamples draw whole patients.

    Resamples without both labels are drawn again.

    Raises:
        InputError: when one of the labels is missing, or a score is not a number.
    """
    label, score = np.asarray(labels, dtype=np.int_), np.asarray(scores, dtype=np.float64)
    value = auroc(label, score)
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    rows = [np.flatnonzero(owner == index) for index in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    while len(drawn) < RESAMPLES:
        chosen = np.concatenate([rows[index] for index in rng.integers(len(rows), size=len(rows))])
        if 0 < label[chosen].sum() < len(chosen):
            drawn.append(auroc(label[chosen], score[chosen]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Auroc(value, float(low), float(high), int((label == 0).sum()), int((label == 1).sum()), len(names))
