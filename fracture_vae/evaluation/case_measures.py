"""How well case scores tell abnormal from normal cases: areas, and rates where a threshold is given."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.evaluation.curves import Ranking, average_precision, rank, roc_area, roc_pairs
from fracture_vae.evaluation.resampling import Resamples, Sampled, sampled

Weights = NDArray[np.float64]


class CaseTable(NamedTuple):
    """N cases of known label.

    Attributes:
        labels: 0 normal, 1 abnormal, (N,).
        scores: higher is more abnormal, (N,).
        places: which of the resamples' patients a case belongs to, (N,).
        levels: such as ``L1``, (N,).
        level_alone: the score of a classifier that knows nothing but the level, (N,).
        flags: by threshold's name, whether a case is called abnormal, (N,).
    """

    labels: NDArray[np.int_]
    scores: NDArray[np.float64]
    places: NDArray[np.int_]
    levels: NDArray[np.str_]
    level_alone: NDArray[np.float64]
    flags: Mapping[str, NDArray[np.bool_]]

    def some(self, kept: NDArray[np.bool_]) -> "CaseTable":
        """Return those of the cases that are ``kept``, (N,)."""
        flags = {name: flag[kept] for name, flag in self.flags.items()}
        level_alone = self.level_alone[kept]
        return CaseTable(self.labels[kept], self.scores[kept], self.places[kept], self.levels[kept], level_alone, flags)


class Ranked(NamedTuple):
    """Scores in groups of equal ones, the highest first: the order of the cases, and where groups start in it."""

    order: NDArray[np.int_]
    starts: NDArray[np.int_]


def ranked(scores: NDArray[np.float64]) -> Ranked:
    """Return the groups of ``scores``, (N,)."""
    order = np.argsort(-scores, kind="stable")
    return Ranked(order, np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0))


def counted(groups: Ranked, weights: Weights) -> Weights:
    """Sum the weights of cases, (r, N), over groups: (r, G)."""
    return np.asarray(np.add.reduceat(weights[:, groups.order], groups.starts, axis=1))


def _rank(groups: Ranked, weights: Weights, abnormal: NDArray[np.bool_]) -> Ranking:
    return rank(counted(groups, weights * abnormal), counted(groups, weights * ~abnormal))


def measure_cases(table: CaseTable, resamples: Resamples) -> dict[str, Sampled]:
    """Return what the labels allow of the measures of cases, by name (see `fracture_vae.evaluation.measures`)."""
    abnormal = table.labels == 1
    own, alone = ranked(table.scores), ranked(table.level_alone)
    strata = [(table.levels == level, ranked(table.scores[table.levels == level])) for level in np.unique(table.levels)]

    def statistic(times: Weights) -> dict[str, Weights]:
        weights = times[:, table.places]
        ranking = _rank(own, weights, abnormal)
        found = {
            "auroc": roc_area(ranking),
            "level_alone_auroc": roc_area(_rank(alone, weights, abnormal)),
            "within_level_auroc": _within(strata, weights, abnormal),
            "average_precision": average_precision(ranking),
        }
        found["auroc_over_level_alone"] = found["auroc"] - found["level_alone_auroc"]
        for name, flag in table.flags.items():
            found |= _rates(name, weights, abnormal, flag)
        return found

    return sampled(statistic, resamples, len(table.labels))


def within_strata(
    labels: NDArray[np.int_],
    scores: NDArray[np.float64],
    places: NDArray[np.int_],
    strata: NDArray,
    resamples: Resamples,
) -> dict[str, Sampled]:
    """Return the AUROC over pairs of one stratum as ``auroc``, or nothing where there is no such pair; all (N,)."""
    abnormal = labels == 1
    groups = [(strata == name, ranked(scores[strata == name])) for name in np.unique(strata)]

    def statistic(times: Weights) -> dict[str, Weights]:
        return {"auroc": _within(groups, times[:, places], abnormal)}

    return sampled(statistic, resamples, len(scores))


def _within(
    strata: Sequence[tuple[NDArray[np.bool_], Ranked]], weights: Weights, abnormal: NDArray[np.bool_]
) -> Weights:
    """Return Σ U_s / Σ n₀ₛ n₁ₛ over strata s: (r,)."""
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for inside, groups in strata:
        more = roc_pairs(_rank(groups, weights[:, inside], abnormal[inside]))
        won, pairs = won + more.won, pairs + more.all
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(won / pairs)


def _rates(name: str, weights: Weights, abnormal: NDArray[np.bool_], flag: NDArray[np.bool_]) -> dict[str, Weights]:
    found, missed = weights @ (abnormal & flag), weights @ (abnormal & ~flag)
    alarms, quiet = weights @ (~abnormal & flag), weights @ (~abnormal & ~flag)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            f"sensitivity@{name}": found / (found + missed),
            f"specificity@{name}": quiet / (quiet + alarms),
            f"f1@{name}": np.where(found + missed > 0, 2 * found / (2 * found + alarms + missed), np.nan),
        }
