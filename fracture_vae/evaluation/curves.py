"""Areas and averages from counts by falling score: pure functions, over any number of resamples at once.

Cases, voxels, regions and candidates are all counted in G groups of equal score (or of one bin of scores), the highest
first, (…, G); the result is (…). What the counts do not allow, such as an area without negatives, is NaN. What shares a
group is tied.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]

LIMIT = 0.3
"""False-positive rate up to which `region_overlap_area` integrates (Bergmann et al. 2020)."""
FALSE_RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False candidates an image at which `froc_score` averages, as in CAMELYON16."""


class Bounds(NamedTuple):
    """Between what a figure lies, however scores that share a bin are ordered."""

    low: float
    high: float


class Ranking(NamedTuple):
    """Positives and negatives by falling score, (…, G): in each group, and in it and those above."""

    positive: Counts
    negative: Counts
    found: Counts
    false: Counts


def rank(positive: Counts, negative: Counts) -> Ranking:
    """Sum up the counts of both."""
    return Ranking(positive, negative, np.cumsum(positive, -1), np.cumsum(negative, -1))


class Pairs(NamedTuple):
    """Pairs of a positive and a negative in which the positive scores higher, ties half; and all pairs."""

    won: Counts
    all: Counts


def roc_pairs(ranking: Ranking) -> Pairs:
    """Return the Mann-Whitney statistic U, and n₀ n₁ (Hanley & McNeil 1982)."""
    n1, n0 = ranking.found[..., -1], ranking.false[..., -1]
    lost = (ranking.positive * (ranking.false - ranking.negative / 2)).sum(-1)
    return Pairs(np.asarray(n1 * n0 - lost), np.asarray(n1 * n0))


def roc_area(ranking: Ranking) -> Counts:
    """Return the probability that a positive scores above a negative, ties half: U / (n₀ n₁)."""
    won, pairs = roc_pairs(ranking)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(won / pairs)


def average_precision(ranking: Ranking) -> Counts:
    """Return Σ (Rₙ − Rₙ₋₁) Pₙ over the groups, R recall and P precision (as scikit-learn; no interpolation)."""
    positive, _, found, false = ranking
    with np.errstate(divide="ignore", invalid="ignore"):
        gained = positive * found / np.maximum(found + false, 1e-9)  # nothing is gained where nothing is yet
        return np.asarray(gained.sum(-1) / found[..., -1])


def average_precision_bounds(ranking: Ranking) -> Bounds:
    """Return between what the average precision of the single scores lies; of one histogram, (G,), with positives.

    Wherever in its bin a positive lies, its precision is at least that of the bin's first positive behind all of the
    bin's negatives, and at most that of its last before all of them.
    """
    positive, negative, found, false = ranking
    some = positive > 0
    before, clean = found - positive, false - negative
    least = (before + 1) / (before + 1 + false)
    most = found / np.maximum(found + clean, 1)
    weight = positive[some] / found[-1]
    return Bounds(float((weight * least[some]).sum()), float((weight * most[some]).sum()))


def best_dice(ranking: Ranking) -> Counts:
    """Return the highest Dice = 2 TP / (2 TP + FP + FN) of all groups taken as the last one above the threshold."""
    found, false, positive = ranking.found, ranking.false, ranking.found[..., -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        dice = np.where(positive > 0, 2 * found / (found + false + positive), np.nan)  # 0 / FP would be a figure
        return np.asarray(dice.max(-1))


def region_overlap_area(overlap: Counts, ranking: Ranking, regions: Counts, limit: float = LIMIT) -> Counts:
    """Return AUPRO: the per-region overlap integrated over the false-positive rate from 0 to ``limit``, over ``limit``.

    Bergmann et al., "Uninformed Students", CVPR 2020: PRO(t) = 1/K Σₖ |P(t) ∩ Cₖ| / |Cₖ| over the K connected regions
    Cₖ of the truth in all images, against the share of all voxels without anomaly that lie in P(t). The curve is
    linear between groups and at the limit.

    Args:
        overlap: Σₖ of the share of region k that lies in the group, (…, G).
        ranking: of the voxels.
        regions: K, (…).
        limit: in (0, 1].
    """
    step, reached = ranking.negative, np.cumsum(overlap, -1)
    most = limit * ranking.false[..., -1:]
    width = np.clip(most - (ranking.false - step), 0, step)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = width / np.maximum(step, 1e-9)  # all of a group, none, or the part before the limit
        area = (width * (reached - overlap * (1 - inside / 2))).sum(-1)
        return np.asarray(area / most[..., 0] / regions)


def region_overlap_bounds(overlap: Counts, ranking: Ranking, regions: float, limit: float = LIMIT) -> Bounds:
    """Return between what AUPRO of the single scores lies; of one histogram, (G,)."""
    step, reached = ranking.negative, np.cumsum(overlap) / regions
    most = limit * ranking.false[-1]
    width = np.clip(most - (ranking.false - step), 0, step)
    return Bounds(float((width * (reached - overlap / regions)).sum() / most), float((width * reached).sum() / most))


def froc_score(hits: Counts, false: Counts, lesions: Counts, images: Counts) -> Counts:
    """Return the mean sensitivity for lesions at `FALSE_RATES` of false candidates an image.

    Bandos et al. 2009; the average is that of CAMELYON16 (Ehteshami Bejnordi et al. 2017). The curve is linear between
    thresholds, begins at (0, 0), and stays where it ends: without any candidate at 0.

    Args:
        hits: lesions whose best candidate lies in the group, (…, G).
        false: candidates outside all lesions in the group, (…, G).
        lesions: how many there are, (…).
        images: how many there are, (…).
    """
    start = np.zeros((*hits.shape[:-1], 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = np.cumsum(np.concatenate([start, hits], -1), -1) / lesions[..., None]
        rate = np.cumsum(np.concatenate([start, false], -1), -1) / images[..., None]
    flat = zip(rate.reshape(-1, rate.shape[-1]), sensitivity.reshape(-1, rate.shape[-1]), strict=True)
    means = [np.interp(FALSE_RATES, x, y).mean() if np.isfinite(y).all() else np.nan for x, y in flat]
    return np.asarray(means).reshape(rate.shape[:-1])
