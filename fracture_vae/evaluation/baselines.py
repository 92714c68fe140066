"""Scores without a network that a learned one must beat: a fixed threshold, a mean template, and the level alone."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.errors import InputError
from fracture_vae.evaluation.auroc import auroc


class Volumes(NamedTuple):
    """N volumes in one common grid of V voxels."""

    images: NDArray[np.float32]
    """(N, V), 0 outside a volume."""
    valid: NDArray[np.bool_]
    """(N, V), true inside."""


def mean_template(train: Volumes) -> NDArray[np.float32]:
    """Return (V,), each voxel's mean over the volumes it lies in; the mean of all voxels where it lies in none."""
    count = train.valid.sum(0)
    total = train.images.sum(0, dtype=np.float64)
    overall = total.sum() / count.sum()
    return np.where(count > 0, total / np.maximum(count, 1), overall).astype(np.float32)


def residuals(volumes: Volumes, reconstruction: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield each volume's |x - x̂| at its valid voxels; ``reconstruction`` is (N, V), or (V,) for all."""
    for image, shown, valid in zip(*np.broadcast_arrays(volumes.images, reconstruction, volumes.valid), strict=True):
        yield np.abs(image - shown)[valid]


def top_mean(values: NDArray[np.float32], count: int) -> float:
    """Return the mean of the ``count`` largest values, of all where there are fewer."""
    largest = np.partition(values, -count)[-count:] if count < len(values) else values
    return float(largest.mean(dtype=np.float64))


def shares_above(values: NDArray[np.float32], thresholds: Sequence[float]) -> NDArray[np.float64]:
    """Return the share of ``values`` above each threshold, (T,)."""
    return np.array([np.count_nonzero(values > threshold) / len(values) for threshold in thresholds])


class Side(NamedTuple):
    """A threshold by its place in the grid, and whether more voxels above it speak for a fracture, or fewer."""

    place: int
    above: bool

    def score(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn shares above each threshold, (…, T), into the case score (…): higher is more abnormal."""
        own = shares[..., self.place]
        return own if self.above else 1 - own


def best_side(shares: NDArray[np.float64], labels: NDArray[np.int_]) -> Side:
    """Return the threshold and side with the highest AUROC; the first of equals.

    Args:
        shares: (N, T), share of a case's voxels above each threshold.
        labels: (N,), 0 normal, 1 abnormal.

    Raises:
        InputError: when one of the labels is missing.
    """
    areas = [auroc(labels, column) for column in shares.T]
    place = int(np.argmax([max(area, 1 - area) for area in areas]))
    return Side(place, areas[place] >= 0.5)


def level_scores(levels: Sequence[str], train_levels: Sequence[str], train_labels: Sequence[int]) -> list[float]:
    """Score a case by its level alone: how often that level is abnormal in training, (abnormal + 1) / (all + 2).

    The rule of succession keeps a level that training lacks at 0.5.

    Raises:
        InputError: when there is nothing to train on.
    """
    if not train_levels:
        raise InputError("no case to learn the levels' shares from; the cohort needs two folds or more")
    pairs = list(zip(train_levels, train_labels, strict=True))

    def share(level: str) -> float:
        own = [label for name, label in pairs if name == level]
        return (sum(own) + 1) / (len(own) + 2)

    return [share(level) for level in levels]
