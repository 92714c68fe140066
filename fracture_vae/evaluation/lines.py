"""The curves behind the areas, as points to draw."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.evaluation.case_measures import CaseTable, counted, ranked
from fracture_vae.evaluation.tallies import Totals

MOST_POINTS = 400

Points = NDArray[np.float64]


class Line(NamedTuple):
    """Points of a curve, (n,) each."""

    x: Points
    y: Points


def case_lines(table: CaseTable) -> dict[str, Line]:
    """Return ``roc``, ``level_alone_roc`` and ``precision`` of case scores."""
    abnormal, normal = (np.atleast_2d((table.labels == label).astype(np.float64)) for label in (1, 0))
    lines = {}
    for name, scores in (("roc", table.scores), ("level_alone_roc", table.level_alone)):
        groups = ranked(scores)
        lines[name] = _roc(counted(groups, abnormal)[0], counted(groups, normal)[0])
    groups = ranked(table.scores)
    return {**lines, "precision": _precision(counted(groups, abnormal)[0], counted(groups, normal)[0])}


def voxel_lines(totals: Totals) -> dict[str, Line]:
    """Return ``voxel_precision``, ``pro`` and ``froc`` of maps; nothing where there is no anomalous region."""
    regions = float(totals.regions.sum())
    if not regions:
        return {}
    positive, negative = totals.positive.sum(0), totals.negative.sum(0)
    rate, overlap = np.cumsum(negative) / negative.sum(), np.cumsum(totals.overlap.sum(0)) / regions
    false, hits = np.cumsum(totals.false.sum(0)) / totals.images.sum(), np.cumsum(totals.hits.sum(0)) / regions
    return {
        "voxel_precision": _precision(positive, negative),
        "pro": _thinned(_from_origin(rate), _from_origin(overlap)),
        "froc": _thinned(_from_origin(false), _from_origin(hits)),
    }


def _roc(positive: Points, negative: Points) -> Line:
    rates = [_from_origin(np.cumsum(counts) / counts.sum()) for counts in (negative, positive)]
    return _thinned(rates[0], rates[1])


def _precision(positive: Points, negative: Points) -> Line:
    found = np.cumsum(positive)
    some = found > 0
    return _thinned((found / found[-1])[some], (found / (found + np.cumsum(negative)))[some])


def _from_origin(values: Points) -> Points:
    return np.concatenate([[0.0], values])


def _thinned(x: Points, y: Points) -> Line:
    """Keep at most `MOST_POINTS`, evenly along the curve, so that steep and flat pieces are both there."""
    if len(x) <= MOST_POINTS:
        return Line(x, y)
    along = np.cumsum(np.abs(np.diff(x, prepend=x[0])) / max(np.ptp(x), 1e-12) + np.abs(np.diff(y, prepend=y[0])))
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], MOST_POINTS)).clip(max=len(x) - 1))
    return Line(x[kept], y[kept])
