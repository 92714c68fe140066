"""Whether new healthy cases look like those calibrated on: where not, p-values mean nothing."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

SURPRISING = 0.01
"""A p-value of the comparison below this is told: one study in a hundred is told without a reason."""
FEWEST = 4
"""Patients on either side below which nothing is compared."""


class Drift(NamedTuple):
    """The Kolmogorov-Smirnov comparison of new patients' mean scores with the calibration's."""

    p_value: float
    new: int
    known: int
    higher: bool
    """Whether the new patients' median is the higher one."""

    @property
    def surprising(self) -> bool:
        """Whether it should be told."""
        return self.p_value < SURPRISING

    def __str__(self) -> str:
        side = "higher" if self.higher else "lower"
        return (
            f"the {self.new} new patients' normal cases score {side} than the {self.known} calibrated on "
            f"(Kolmogorov-Smirnov p = {self.p_value:.1g}): p-values do not hold for them; calibrate on scans like these"
        )


def drift(
    known: Sequence[float], known_patients: Sequence[str], new: Sequence[float], new_patients: Sequence[str]
) -> Drift | None:
    """Compare the scores of new healthy cases with those calibrated on, both under models that have not seen them.

    Cases of one patient are alike, so a patient's mean counts once: the exact two-sample Kolmogorov-Smirnov test of
    the means (`scipy.stats.ks_2samp`). None where either side has fewer than `FEWEST` patients.
    """
    old, now = patient_means(known, known_patients), patient_means(new, new_patients)
    if min(len(old), len(now)) < FEWEST:
        return None
    p_value = float(ks_2samp(now, old).pvalue)
    return Drift(p_value, len(now), len(old), bool(np.median(now) > np.median(old)))


def patient_means(scores: Sequence[float], patients: Sequence[str]) -> NDArray[np.float64]:
    """Return each patient's mean score, in the order of their names."""
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    return np.bincount(owner, np.asarray(scores, dtype=np.float64)) / np.bincount(owner)
