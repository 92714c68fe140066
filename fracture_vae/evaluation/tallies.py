"""All maps of a folder counted, two or more at a time; and the measures of voxels, regions and lesions from it."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.evaluation.curves import (
    Bounds,
    average_precision,
    average_precision_bounds,
    best_dice,
    froc_score,
    rank,
    region_overlap_area,
    region_overlap_bounds,
    roc_area,
)
from fracture_vae.evaluation.resampling import Resamples, Sampled, sampled
from fracture_vae.evaluation.voxels import Asked, Histogram, Tally, tally_case

_WORTH_A_PROCESS = 1 << 24  # bytes of maps; for fewer it takes longer to start than to count

GROWTH = 0.005
"""By how much what lies above a threshold may grow from one column to the next."""

Weights = NDArray[np.float64]


class Totals(NamedTuple):
    """Cases of some patients, counted by falling score: rows are patients, columns are bins, some joined.

    Attributes:
        places: which of the resamples' patients a row is.
        negative, positive, overlap, regions, hits, false, above: summed over cases, as in `Tally`.
        images: cases.
    """

    places: NDArray[np.int_]
    negative: Weights
    positive: Weights
    overlap: Weights
    regions: Weights
    hits: Weights
    false: Weights
    images: Weights
    above: Weights


def tally_all(asked: Sequence[Asked]) -> list[Tally]:
    """Count maps, in order, in as many processes as there are cores; each holds one map at a time."""
    size = sum(one.map.stat().st_size for one in asked)
    workers = min(8, os.cpu_count() or 1, size // _WORTH_A_PROCESS)
    if workers < 2:
        return [tally_case(one) for one in asked]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            return list(pool.map(tally_case, asked, chunksize=4))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def total(tallies: Sequence[Tally], places: NDArray[np.int_]) -> Totals:
    """Sum the tallies of cases over patients; ``places`` (N,) says whose each is."""
    patients, row = np.unique(places, return_inverse=True)
    rows = row.tolist()
    voxels = _columns([one.positive for one in tallies], [one.negative for one in tallies])
    peaks = _columns([one.hits for one in tallies], [one.false for one in tallies])

    def summed(parts: Sequence[Histogram], columns: _Columns) -> Weights:
        out = np.zeros((len(patients), columns.size))
        for part, mine in zip(parts, rows, strict=True):
            out[mine] += np.bincount(columns.of[np.searchsorted(columns.keys, part.keys)], part.counts, columns.size)
        return out

    return Totals(
        patients,
        summed([one.negative for one in tallies], voxels),
        summed([one.positive for one in tallies], voxels),
        summed([one.overlap for one in tallies], voxels),
        np.bincount(row, [one.regions for one in tallies]).astype(np.float64),
        summed([one.hits for one in tallies], peaks),
        summed([one.false for one in tallies], peaks),
        np.bincount(row).astype(np.float64),
        np.stack([np.bincount(row, [one.above[kind] for one in tallies]) for kind in (0, 1)]),
    )


class _Columns(NamedTuple):
    """Bins that are counted together: the keys of all bins, rising; the column of each; and how many there are."""

    keys: NDArray[np.int32]
    of: NDArray[np.int_]
    size: int


def _columns(positive: Sequence[Histogram], negative: Sequence[Histogram]) -> _Columns:
    """Join bins, from the highest down, in which what was found so far grows by less than `GROWTH`.

    So the columns are as many as the curve bends, not as the scores spread: about 2000 for 10⁹ voxels.
    """
    parts = [*positive, *negative]
    keys = np.unique(np.concatenate([part.keys for part in parts]))
    place = np.zeros(len(keys), bool)
    for kind in (positive, negative):
        sums = np.zeros(len(keys))
        for part in kind:
            sums[np.searchsorted(keys, part.keys)] += part.counts
        steps = np.floor(np.log1p(np.cumsum(sums[::-1])) / np.log1p(GROWTH))
        place |= np.diff(steps, prepend=-1) > 0
    falling = np.cumsum(place) - 1
    return _Columns(keys, falling[::-1], int(place.sum()))


def measure_voxels(totals: Totals, resamples: Resamples) -> dict[str, Sampled]:
    """Return what the truth allows of the measures of voxels, by name (see `fracture_vae.evaluation.measures`)."""

    def statistic(times: Weights) -> dict[str, Weights]:
        weights = times[:, totals.places]
        voxels = rank(weights @ totals.positive, weights @ totals.negative)
        regions = weights @ totals.regions
        alarms, found = weights @ totals.above[0], weights @ totals.above[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            positive = voxels.found[:, -1]
            dice = np.where(positive > 0, 2 * found / (alarms + found + positive), np.nan)
        return {
            "voxel_average_precision": average_precision(voxels),
            "voxel_auroc": roc_area(voxels),
            "aupro": region_overlap_area(weights @ totals.overlap, voxels, regions),
            "froc": froc_score(weights @ totals.hits, weights @ totals.false, regions, weights @ totals.images),
            "dice@calibrated": dice,
            "dice@oracle": best_dice(voxels),
        }

    return sampled(statistic, resamples, totals.negative.shape[1])


class Binning(NamedTuple):
    """Between what two figures lie that bins may change."""

    voxel_average_precision: Bounds
    aupro: Bounds


def binning(totals: Totals) -> Binning:
    """Return how far the bins may have moved the figures of `measure_voxels`; there must be positives and negatives."""
    voxels = rank(totals.positive.sum(0), totals.negative.sum(0))
    return Binning(
        average_precision_bounds(voxels),
        region_overlap_bounds(totals.overlap.sum(0), voxels, float(totals.regions.sum())),
    )
