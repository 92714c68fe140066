"""Area under the ROC curve."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fracture_vae.errors import InputError


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
