"""Conformal p-values: where a score ranks among those of healthy cases, and which score a rate of false alarms allows.

Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World (2005); over folds Vovk, Cross-conformal predictors
(Annals of Mathematics and Artificial Intelligence 74, 2015); over patients Lee, Barber & Willett, Distribution-free
inference with hierarchical data (2023), section 3. ``docs/calibration.md`` says what is guaranteed, and what is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from fracture_vae.errors import InputError

COLUMNS = ("score_z", "p_value", "p_case", "q_value", "flagged")
"""Columns of scores.csv that a calibration fills."""


class PValues(NamedTuple):
    """How often a healthy case scores this high: every patient weighing the same, and every case."""

    patient: float
    case: float


@dataclass(frozen=True)
class Reference:
    """Scores of healthy cases that neither the model nor the moments behind the scores have seen.

    Attributes:
        scores: (n,), higher is more abnormal.
        patients: whose each is, (n,).
    """

    scores: NDArray[np.float64]
    patients: tuple[str, ...]

    def shares(self, score: float) -> list[float]:
        """Return, by patient, the share of their cases that score at least ``score``."""
        above: dict[str, list[bool]] = {}
        for own, patient in zip(self.scores.tolist(), self.patients, strict=True):
            above.setdefault(patient, []).append(own >= score)
        return [sum(cases) / len(cases) for cases in above.values()]


def joined(references: Sequence[Reference]) -> Reference:
    """Return the scores of several references, of different patients, as one."""
    return Reference(
        np.concatenate([own.scores for own in references]),
        tuple(patient for own in references for patient in own.patients),
    )


def p_values(references: Sequence[tuple[Reference, float]]) -> PValues:
    """Return the p-values of a case from its score among each reference, one of them a fold's.

    By patient, (1 + Σₖ Σₚ Sₚ(s(k))) / (P + 1), with s(k) the case's score under the model of fold k and Sₚ the share
    of patient p's cases at s(k) or above: hierarchical conformal prediction. By case,
    (1 + Σₖ Σᵢ 1[sᵢ ≥ s(k)]) / (n + 1): split-conformal for one reference, cross-conformal for several.

    Without any reference both are 1.
    """
    cases = sum(int((reference.scores >= score).sum()) for reference, score in references)
    of = sum(len(reference.scores) for reference, _ in references)
    shares = [share for reference, score in references for share in reference.shares(score)]
    return PValues((1 + sum(shares)) / (1 + len(shares)), (1 + cases) / (1 + of))


def threshold(reference: Reference, alpha: float) -> float:
    """Return the score that a case must exceed for its p-value by patient to be at most ``alpha``.

    It is the least of the scores above which so little is left, and infinite where P + 1 < 1 / α: so few patients
    allow no alarm.

    Raises:
        InputError: for a rate outside (0, 1).
    """
    require_rate(alpha)
    _, owner, cases = np.unique(np.asarray(reference.patients), return_inverse=True, return_counts=True)
    order = np.argsort(-reference.scores, kind="stable")
    scores, weights = reference.scores[order], (1 / cases[owner])[order]
    above = np.concatenate([[0.0], np.cumsum(weights)])[np.searchsorted(-scores, -scores)]  # Σ of what is higher
    allowed = [
        score for score, share in zip(scores, above, strict=True) if exceeds((1 + share) / (1 + len(cases)), alpha)
    ]
    return float(min(allowed, default=np.inf))


def exceeds(p_value: float, alpha: float) -> bool:
    """Return whether a p-value is at most ``alpha``; sums of shares are rounded, so a little more counts as equal."""
    return p_value <= alpha + 1e-9


def require_rate(alpha: float) -> None:
    """Require a rate of false alarms in (0, 1).

    Raises:
        InputError: for any other.
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha {alpha:g}: must lie between 0 and 1, such as 0.05")


def q_values(p: Sequence[float]) -> list[float]:
    """Return the smallest false-discovery rates at which each of ``p`` is found (Benjamini & Hochberg 1995).

    Conformal p-values that share a reference are positively dependent, under which the rate holds (Bates, Candès,
    Lei, Romano & Sesia, Annals of Statistics 51, 2023, theorem 2).
    """
    return [float(q) for q in false_discovery_control(p)] if len(p) else []
