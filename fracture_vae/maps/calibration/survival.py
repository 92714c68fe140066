"""How high healthy voxels' z goes: a table from which every voxel of a map gets a p-value."""

from collections.abc import Sequence

import torch
from torch import Tensor

GRID = torch.sinh(torch.linspace(-3.0, 8.0, 2201, dtype=torch.float64)).float()
"""z from about -10 to 1500 that tables are kept at: steps of 0.005 about 0, of half a percent far from it."""


def survival(z: Tensor, valid: Tensor) -> Tensor:
    """Return the share of the valid voxels whose z is at least each of `GRID`, (T,) float64.

    Args:
        z: any shape.
        valid: of the same shape, bool; some voxel is.
    """
    values = z.masked_select(valid).float()
    place = torch.bucketize(values, GRID, right=True)  # how many of the grid are at most the value
    counts = torch.bincount(place, minlength=len(GRID) + 1)[1:].double()
    return counts.flip(0).cumsum(0).flip(0) / len(values)


def voxel_p(tables: Sequence[tuple[Tensor, int, Tensor]]) -> Tensor:
    """Return p-values of voxels: (1 + Σₖ Σᵢ Sᵢ(z(k))) / (n + 1), of the shape of each z.

    Sᵢ(z) is the share of healthy case i's voxels at z or above. Of a new healthy case exchangeable with the n, a
    voxel picked at random has p ≤ α with a probability of at most α: given the n + 1 maps but not which is new, the
    voxel is a draw from their mean distribution, whose survival is at most p, for the new map's own is at most 1.
    Between grid points z counts as the lower one, which makes p larger.

    Args:
        tables: one a fold: the sum of its cases' `survival`, their number, and the z map under the fold's model.
    """
    total = torch.stack([_at(sums, cases, z) for sums, cases, z in tables]).sum(0)
    return ((1 + total) / (1 + sum(cases for _, cases, _ in tables))).float()


def _at(sums: Tensor, cases: int, z: Tensor) -> Tensor:
    place = torch.bucketize(z.float(), GRID, right=True)
    return torch.cat([sums.new_tensor([cases]), sums])[place]  # below the grid every voxel of every case may lie above
