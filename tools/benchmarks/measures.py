"""Reconstruction errors case by case, and means with intervals that respect patients."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fracture_vae.evaluation.resampling import Sampled, draw
from fracture_vae.maps import case_score


class CaseErrors(NamedTuple):
    """Errors of N cases over their valid voxels, each of shape (N,), in units of the normalised intensity."""

    l1: NDArray[np.float64]
    """Mean |x - x̂|."""
    l2: NDArray[np.float64]
    """Mean (x - x̂)²."""
    score: NDArray[np.float64]
    """The package's case score: mean of the largest |x - x̂|."""


class Interval(NamedTuple):
    """A mean and its 95 % percentile bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def case_errors(residuals: Iterable[NDArray[np.float32]]) -> CaseErrors:
    """Return the errors of cases of which ``residuals`` gives |x - x̂| at every valid voxel, in any shape."""
    rows = []
    for residual in residuals:
        values = np.ascontiguousarray(residual.ravel(), dtype=np.float32)
        everywhere = torch.ones(len(values), dtype=torch.bool)
        score = case_score(torch.from_numpy(values), everywhere, everywhere)
        rows.append((values.mean(dtype=np.float64), np.square(values, dtype=np.float64).mean(), score))
    return CaseErrors(*np.array(rows, dtype=np.float64).T)


def mean_interval(values: NDArray[np.float64], patients: Sequence[str], seed: int = 0) -> Interval:
    """Return the mean of ``values`` (N,) over cases; the resamples behind its interval draw whole patients."""
    resamples = draw(patients, seed)
    owner = resamples.places(patients)
    means = resamples.times @ np.bincount(owner, values) / (resamples.times @ np.bincount(owner))
    return Interval(*Sampled(float(values.mean()), means).estimate())
