"""Whole patients dealt into bins so that every bin holds alike many cases of every level and label.

In the spirit of iterative stratification (Sechidis, Tsoumakas & Vlahavas, On the stratification of multi-label data,
ECML PKDD 2011), which deals out the examples of the rarest label first; exchanges between bins follow, which that
method has not. All arithmetic is in integers and ties are broken by a hash of seed and patient, so that the result
depends neither on the order of rows nor on the machine.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Content = tuple[str, int | None]
"""A case's level and label (0 normal, 1 abnormal, None unknown)."""

_UNIT = 100  # deviations are integers, in hundredths of a case


class Imbalance(NamedTuple):
    """What the dealing minimises, the first number first.

    Attributes:
        no_normal: patients with a normal case short, summed over bins.
        uncovered: how often a bin lacks a level, or a normal case of a level.
        squares: sum over bins of the squared deviation from the bin's share, of the number of patients and of the
            cases of every label, level, and level with label; in 10⁻⁴ cases².
    """

    no_normal: int
    uncovered: int
    squares: int


class _Counts(NamedTuple):
    """Patients as rows of numbers: one column of `presence` for having a normal case, the rest for levels."""

    numbers: NDArray[np.int64]
    presence: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.int64]:
        return np.hstack([self.presence, self.numbers])


class Bins(NamedTuple):
    """The bins: their shares of all patients, and how many patients with each level each needs.

    k folds are ``Bins((1,) * k, (1,) * k)``; a hold-out of h among n patients, of whom k folds are made later, is
    ``Bins((h, n - h), (0, k))``.
    """

    shares: tuple[int, ...]
    needs: tuple[int, ...]


def deal(patients: Mapping[str, Sequence[Content]], bins: Bins, given: Mapping[str, int], seed: int) -> dict[str, int]:
    """Return the bin (from 0) of every patient.

    Patients are dealt in the order of their rarest content, each to one of the bins that have fewest patients for
    their share, where the imbalance becomes least. Then two patients of two bins change places, or one moves to a
    bin with fewer patients, as long as that lowers the imbalance. So sizes differ by one patient at most unless
    ``given`` says otherwise.

    Args:
        patients: the level and label of each patient's cases.
        bins: where to.
        given: the bin of patients who have one already; they stay.
        seed: of the order among patients of equal content.
    """
    names = sorted(patients)
    counts = _count(names, patients)
    table = _Table(counts, bins)
    for row, name in enumerate(names):
        if name in given:
            table.put(row, given[name])
    free = _rarest_first([name for name in names if name not in given], patients, seed)
    rows = {name: row for row, name in enumerate(names)}
    for name in free:
        table.put(rows[name], table.best_bin(rows[name]), free=True)
    table.exchange()
    return {name: table.bin_of[row] for row, name in enumerate(names)}


def imbalance(patients: Mapping[str, Sequence[Content]], bins: Bins, dealt: Mapping[str, int]) -> Imbalance:
    """Return the imbalance of an assignment of every patient to a bin."""
    names = sorted(patients)
    table = _Table(_count(names, patients), bins)
    for row, name in enumerate(names):
        table.put(row, dealt[name])
    costs = np.sum([table.cost(table.sums[[number]], number)[0] for number in range(len(bins.shares))], axis=0)
    return Imbalance(*(int(cost) for cost in costs))


class _Table:
    """What each bin holds, and the steps that change it."""

    def __init__(self, counts: _Counts, bins: Bins) -> None:
        self.rows = counts.rows
        self.covering = counts.presence.shape[1]
        self.bins = bins
        self.sums = np.zeros((len(bins.shares), self.rows.shape[1]), dtype=np.int64)
        self.sizes = [0] * len(bins.shares)
        self.bin_of: dict[int, int] = {}
        whole = sum(bins.shares)
        totals = counts.numbers.sum(axis=0).tolist()
        self.targets = np.array(
            [[(2 * _UNIT * total * share + whole) // (2 * whole) for total in totals] for share in bins.shares],
            dtype=np.int64,
        )
        self.kinds, kind = np.unique(self.rows, axis=0, return_inverse=True)
        self.kind: list[int] = kind.reshape(-1).tolist()
        self.free: list[dict[int, list[int]]] = [{} for _ in bins.shares]

    def cost(self, sums: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        """Return (m, 3): the terms of `Imbalance` that bin ``number`` brings if it held each of ``sums`` (m, C)."""
        short = np.clip(self.bins.needs[number] - sums[:, : self.covering], 0, None)
        deviation = _UNIT * sums[:, self.covering :] - self.targets[number]
        return np.stack([short[:, 0], short[:, 1:].sum(axis=1), (deviation**2).sum(axis=1)], axis=1)

    def put(self, row: int, number: int, free: bool = False) -> None:
        self.sums[number] += self.rows[row]
        self.sizes[number] += 1
        self.bin_of[row] = number
        if free:
            self.free[number].setdefault(self.kind[row], []).append(row)

    def take(self, kind: int, number: int) -> int:
        row = self.free[number][kind].pop()
        if not self.free[number][kind]:
            del self.free[number][kind]
        self.sums[number] -= self.rows[row]
        self.sizes[number] -= 1
        return row

    def best_bin(self, row: int) -> int:
        """Return, of the bins with fewest patients for their share, the one where the imbalance becomes least."""
        filled = [Fraction(size, share) for size, share in zip(self.sizes, self.bins.shares, strict=True)]
        open_bins = [number for number, ratio in enumerate(filled) if ratio == min(filled)]

        def change(number: int) -> tuple[int, ...]:
            both = self.cost(np.stack([self.sums[number], self.sums[number] + self.rows[row]]), number)
            return tuple((both[1] - both[0]).tolist())

        return min(open_bins, key=change)

    def exchange(self) -> None:
        """Let patients of two bins change places, or one move to a smaller bin, until nothing gets better."""
        better = True
        while better:
            better = False
            for first, second in combinations(range(len(self.sizes)), 2):
                for one, other in ((first, second), (second, first)):
                    for kind in sorted(self.free[one]):
                        while kind in self.free[one] and self._exchange(kind, one, other):
                            better = True

    def _exchange(self, kind: int, one: int, other: int) -> bool:
        """Give a patient of ``kind`` from bin ``one`` to ``other`` for the patient, or none, that helps most."""
        partners: list[int | None] = [number for number in sorted(self.free[other]) if number != kind]
        coming = self.kinds[np.array(partners, dtype=np.intp)]
        if self.bins.shares[one] == self.bins.shares[other] and self.sizes[one] > self.sizes[other]:
            partners.append(None)
            coming = np.vstack([coming, np.zeros_like(self.kinds[:1])])
        if not partners:
            return False
        change = coming - self.kinds[kind]
        before = self.cost(self.sums[[one]], one) + self.cost(self.sums[[other]], other)
        after = self.cost(self.sums[one] + change, one) + self.cost(self.sums[other] - change, other)
        gains = after - before
        best = int(np.lexsort((gains[:, 2], gains[:, 1], gains[:, 0]))[0])
        if tuple(gains[best].tolist()) >= (0, 0, 0):
            return False
        partner = partners[best]
        row = self.take(kind, one)
        back = None if partner is None else self.take(partner, other)
        self.put(row, other, free=True)
        if back is not None:
            self.put(back, one, free=True)
        return True


def _rarest_first(names: Sequence[str], patients: Mapping[str, Sequence[Content]], seed: int) -> list[str]:
    """Sort patients by how many cases there are like their rarest, then the largest patients first, then by hash."""
    total = Counter(content for own in patients.values() for content in own)

    def key(name: str) -> tuple[int, int, str]:
        drawn = hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
        return min(total[content] for content in patients[name]), -len(patients[name]), drawn

    return sorted(names, key=key)


def _count(names: Sequence[str], patients: Mapping[str, Sequence[Content]]) -> _Counts:
    contents = sorted({c for own in patients.values() for c in own}, key=lambda c: (c[0], -1 if c[1] is None else c[1]))
    levels = sorted({level for level, _ in contents})
    labels = (0, 1, None)
    numbers = np.zeros((len(names), 1 + len(labels) + len(levels) + len(contents)), dtype=np.int64)
    numbers[:, 0] = 1
    presence = np.zeros((len(names), 1 + 2 * len(levels)), dtype=np.int64)
    for row, name in enumerate(names):
        for level, label in patients[name]:
            at = levels.index(level)
            numbers[row, 1 + labels.index(label)] += 1
            numbers[row, 1 + len(labels) + at] += 1
            numbers[row, 1 + len(labels) + len(levels) + contents.index((level, label))] += 1
            presence[row, 1 + at] = 1
            if label == 0:
                presence[row, [0, 1 + len(levels) + at]] = 1
    return _Counts(numbers, presence)
