"""Intervals by resampling patients, the same resamples for everything that is compared.

Voxels of a case and cases of a patient are not independent; so whole patients are drawn, with replacement (Efron &
Tibshirani 1993). A resample is a number of times for each patient. Two figures on the same resamples are paired: the
interval of their difference is that of the differences.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_AT_ONCE = 1 << 16  # numbers of a block of resamples: what a core's cache holds, several times


class Estimate(NamedTuple):
    """A figure and its 95 % interval over patients."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Sampled(NamedTuple):
    """A figure, and what it is on each resample, (R,); NaN on those that do not allow it."""

    value: float
    samples: NDArray[np.float64]

    def estimate(self) -> Estimate:
        """Return the figure with its percentile interval over the resamples that allow it."""
        low, high = np.nanpercentile(self.samples, [2.5, 97.5])
        return Estimate(self.value, float(low), float(high))

    def minus(self, other: "Sampled") -> "Sampled":
        """Return the difference to a figure on the same resamples."""
        return Sampled(self.value - other.value, self.samples - other.samples)


@dataclass(frozen=True)
class Resamples:
    """How often each patient is drawn: ``times`` (R, P), and the patients' names (P,), sorted."""

    names: NDArray[np.str_]
    times: NDArray[np.int64]

    def places(self, patients: Sequence[str]) -> NDArray[np.int64]:
        """Return where each of ``patients``, all of them among the names, stands in a row of ``times``."""
        return np.searchsorted(self.names, np.asarray(patients)).astype(np.int64)


def draw(patients: Sequence[str], seed: int = 0, resamples: int = RESAMPLES) -> Resamples:
    """Return ``resamples`` draws of as many patients as there are different names among ``patients``."""
    names = np.unique(np.asarray(patients))
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    times = np.zeros((resamples, len(names)), np.int64)
    np.add.at(times, (np.arange(resamples)[:, None], drawn), 1)
    return Resamples(names, times)


def sampled(
    statistic: Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]], resamples: Resamples, width: int
) -> dict[str, Sampled]:
    """Evaluate figures as they are and on every resample; those that are NaN as they are, are left out.

    Args:
        statistic: from how often each patient counts, (r, P), to the figures by name, (r,) each.
        resamples: the draws.
        width: how many numbers the statistic holds for a row; bounds the rows given to it at once.
    """
    values = statistic(np.ones((1, len(resamples.names))))
    blocks = [statistic(times.astype(np.float64)) for times in _blocks(resamples.times, width)]
    return {
        name: Sampled(float(value[0]), np.concatenate([block[name] for block in blocks]))
        for name, value in values.items()
        if not np.isnan(value[0])
    }


def _blocks(times: NDArray[np.int64], width: int) -> Iterator[NDArray[np.int64]]:
    rows = max(1, _AT_ONCE // max(width, 1))
    for start in range(0, len(times), rows):
        yield times[start : start + rows]
