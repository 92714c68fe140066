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
    region_overlap_area,
    region_overlap_bounds,
    roc_area,
)
from fracture_vae.evaluation.resampling import Resamples, Sampled, sampled
from fracture_vae.evaluation.voxels import Asked, Histogram, Tally, tally_case

_WORTH_A_PROCESS = 8  # maps; for fewer it takes longer to start than to count

Weights = NDArray[np.float64]


class Totals(NamedTuple):
    """Cases of some patients, counted by falling score: rows are patients, columns bins.

    Attributes:
        places: which of the resamples' patients a row is.
        keys: the bins of the voxels' columns.
        negative, positive, overlap, regions, hits, false, above: summed over cases, as in `Tally`.
        images: cases.
    """

    places: NDArray[np.int_]
    keys: NDArray[np.int32]
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
    workers = min(8, os.cpu_count() or 1, len(asked) // _WORTH_A_PROCESS)
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
    keys = _falling([part for one in tallies for part in (one.negative, one.positive)])
    peaks = _falling([part for one in tallies for part in (one.hits, one.false)])

    def summed(parts: Sequence[Histogram], columns: NDArray[np.int32]) -> Weights:
        out = np.zeros((len(patients), len(columns)))
        for part, mine in zip(parts, rows, strict=True):
            out[mine, len(columns) - 1 - np.searchsorted(columns[::-1], part.keys)] += part.counts
        return out

    return Totals(
        patients,
        keys,
        summed([one.negative for one in tallies], keys),
        summed([one.positive for one in tallies], keys),
        summed([one.overlap for one in tallies], keys),
        np.bincount(row, [one.regions for one in tallies]).astype(np.float64),
        summed([one.hits for one in tallies], peaks),
        summed([one.false for one in tallies], peaks),
        np.bincount(row).astype(np.float64),
        np.stack([np.bincount(row, [one.above[kind] for one in tallies]) for kind in (0, 1)]),
    )


def _falling(parts: Sequence[Histogram]) -> NDArray[np.int32]:
    return np.unique(np.concatenate([part.keys for part in parts]))[::-1]


def measure_voxels(totals: Totals, resamples: Resamples) -> dict[str, Sampled]:
    """Return what the truth allows of the measures of voxels, by name (see `fracture_vae.evaluation.measures`)."""

    def statistic(times: Weights) -> dict[str, Weights]:
        weights = times[:, totals.places]
        negative, positive = weights @ totals.negative, weights @ totals.positive
        regions = weights @ totals.regions
        alarms, found = weights @ totals.above[0], weights @ totals.above[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            dice = 2 * found / (alarms + found + positive.sum(-1))
        return {
            "voxel_average_precision": average_precision(positive, negative),
            "voxel_auroc": roc_area(positive, negative),
            "aupro": region_overlap_area(weights @ totals.overlap, negative, regions),
            "froc": froc_score(weights @ totals.hits, weights @ totals.false, regions, weights @ totals.images),
            "dice@calibrated": dice,
            "dice@oracle": best_dice(positive, negative),
        }

    return sampled(statistic, resamples, 4 * len(totals.keys))


class Binning(NamedTuple):
    """Between what two figures lie that bins may change."""

    voxel_average_precision: Bounds
    aupro: Bounds


def binning(totals: Totals) -> Binning:
    """Return how far the bins may have moved the figures of `measure_voxels`; there must be positives and negatives."""
    negative, positive, overlap = (part.sum(0) for part in (totals.negative, totals.positive, totals.overlap))
    return Binning(
        average_precision_bounds(positive, negative),
        region_overlap_bounds(overlap, negative, float(totals.regions.sum())),
    )
