"""Location and spread of healthy maps, from sums that are added case by case and shrunk towards their neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PRIOR_CASES = 8.0
"""Neighbours weigh as much as this many of a group's own cases: a level with 8 normals stands half on neighbours."""
DECAY = 0.5
"""A neighbour one further away weighs this much of the nearer one."""
SPREAD_FLOOR = 0.25
"""Least spread, as a share of the root mean square over a group's cells: where healthy maps are all but constant, in
the air of every crop, a difference nobody would see had a z of hundreds otherwise."""


@dataclass(frozen=True)
class Moments:
    """Sums over voxels, by group (a level, or a bin of intensity) and cell, (G, *cells) float64; they can be added.

    Attributes:
        count: voxels.
        total: the sum of their values.
        squares: the sum of their squares.
        cases: how many maps went in.
    """

    count: Tensor
    total: Tensor
    squares: Tensor
    cases: int

    @classmethod
    def zeros(cls, *shape: int) -> "Moments":
        """Return the moments of nothing."""
        count, total, squares = torch.zeros(3, *shape, dtype=torch.float64)
        return cls(count, total, squares, cases=0)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count, self.total + other.total, self.squares + other.squares, self.cases + other.cases
        )


@dataclass(frozen=True)
class Standard:
    """What is usual: location and spread by group and cell, (G, *cells) float32, in the unit of the maps."""

    location: Tensor
    spread: Tensor


def shrunk(moments: Moments, places: Sequence[float], prior: float) -> Standard:
    """Return location and spread, drawn to a group's neighbours where it has few voxels of its own.

    With n voxels of a group's own in a cell, and N of its neighbours' (each weighted by `DECAY` to the power of its
    distance less one), neighbours weigh k = min(prior, N): the location is (n m + k M) / (n + k), the weighted mean of
    the group's own mean m and theirs M; the variance the weighted mean of the group's own about that location and of
    the neighbours' within their groups. This is the posterior mean under a conjugate normal prior worth k
    observations. A cell in which nobody has a voxel takes the mean of its group's cells.

    Args:
        moments: of some case at least.
        places: where each group lies on a line, (G,); an infinite distance makes groups no neighbours.
        prior: voxels that neighbours weigh in a cell.
    """
    count, total, squares = (part.flatten(1) for part in (moments.count, moments.total, moments.squares))
    weights = _neighbours(places)
    mean = total / count.clamp(min=1)
    within = (squares - count * mean**2).clamp(min=0)  # sum of squares about a group's own mean
    near = weights @ count
    near_mean = (weights @ total) / near.clamp(min=1e-12)
    near_variance = (weights @ within) / near.clamp(min=1e-12)
    k = near.clamp(max=prior)
    both = (count + k).clamp(min=1e-12)
    location = (total + k * near_mean) / both
    own = within + count * (mean - location) ** 2
    variance = (own + k * near_variance) / both
    location, variance = _filled(location, variance, count + k)
    floor = SPREAD_FLOOR * variance.mean(1, keepdim=True).sqrt()
    spread = torch.maximum(variance.sqrt(), floor.clamp(min=1e-6))
    shape = moments.count.shape
    return Standard(location.reshape(shape).float(), spread.reshape(shape).float())


def _neighbours(places: Sequence[float]) -> Tensor:
    """Return how much each group (column) weighs for each other one (row), 0 for itself, (G, G)."""
    at = torch.tensor(places, dtype=torch.float64)
    distance = (at[:, None] - at[None]).abs().nan_to_num(nan=torch.inf)  # inf - inf
    return torch.where(torch.eye(len(at), dtype=torch.bool), 0.0, DECAY ** (distance - 1))


def _filled(location: Tensor, variance: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Give cells without a voxel the means of their group's other cells, or of all groups' where none has one."""
    empty = known <= 0
    share = (~empty).double()

    def means(values: Tensor) -> Tensor:
        overall = (values * share).sum() / share.sum()
        own = (values * share).sum(1, keepdim=True)
        return torch.where(share.sum(1, keepdim=True) > 0, own / share.sum(1, keepdim=True).clamp(min=1), overall)

    return torch.where(empty, means(location), location), torch.where(empty, means(variance), variance)
