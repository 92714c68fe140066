"""The endplates of the vertebra in the middle of a crop, from the image alone."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MIDDLE = (0.5, 0.64, 0.48)
"""Where a body's middle is expected in a crop around its vertebra's centroid, as shares of the axes: behind and below
it lie arch and processes."""
HEIGHTS = (0.11, 0.27)
"""Heights of a body that are looked for, as shares of the axis (14 to 35 mm of 128)."""
SLOPES = (-0.45, 0.45)
"""Rises of an endplate towards the front that are looked for, in voxels a voxel."""
_CORE = 0.06  # radius of the column of bone that is looked at, as a share of an axis
_AWAY = 0.04  # standard deviation of a body's middle about where it is expected, as a share of the axis
_TRIED = 10  # slopes


class Endplates(NamedTuple):
    """The two planes a body lies between, of each image; (B,)."""

    lower: Tensor
    """Height over the middle of the body, voxels along z."""
    upper: Tensor
    slope: Tensor
    """Of both: voxels along z a voxel to the front."""


def find_endplates(images: Tensor) -> Endplates:
    """Return the endplates of (B, C, H, W, D) RAS ``images``, on the CPU.

    An endplate is a bright slice with a darker one beyond. Of all pairs of slices a body's height apart, in columns
    sheared by each of some slopes, the best stand out most from their surroundings, have no other plate between them
    and are near the middle.
    """
    bone, forward = _core(images)
    found = [_best_pair(_prominence(bone, slope * forward)) for slope in torch.linspace(*SLOPES, _TRIED).tolist()]
    score = torch.stack([pair[0] for pair in found])
    best = score.argmax(0)
    every = torch.arange(len(images))
    upper, height = (torch.stack([pair[part] for pair in found])[best, every].float() for part in (1, 2))
    return Endplates(upper - height, upper, torch.linspace(*SLOPES, _TRIED)[best])


def _core(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the columns (B, n, D) about the body's axis, and how far in front of it (n,) each lies."""
    x, y = (
        torch.arange(size) - middle * (size - 1) for size, middle in zip(images.shape[2:4], MIDDLE[:2], strict=True)
    )
    radius = _CORE * max(images.shape[2:4])
    at_x, at_y = ((x[:, None] ** 2 + y**2) < radius**2).nonzero(as_tuple=True)
    return images[:, 0, at_x.to(images.device), at_y.to(images.device)].float().cpu(), y[at_y]


def _prominence(columns: Tensor, rise: Tensor) -> Tensor:
    """Return (B, D): by how much each slice of the columns, sheared by ``rise`` (n,), is brighter than those about."""
    size = columns.shape[2]
    source = (torch.arange(size) + rise[:, None]).clamp(0, size - 1).expand_as(columns)
    below = source.floor().clamp(max=size - 2).long()
    profile = torch.lerp(columns.gather(2, below), columns.gather(2, below + 1), source - below).mean(1)
    reach = max(round(0.05 * size), 1)
    around = F.avg_pool1d(profile[:, None], 2 * reach + 1, 1, reach, count_include_pad=False)[:, 0]
    return (profile - around) / (profile.std(1, keepdim=True) + 1e-3)


def _best_pair(plates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best pair's score, upper slice and height (B,) for the prominence (B, D) of each slice."""
    size = plates.shape[1]
    low, high = (round(share * size) for share in HEIGHTS)
    beyond = max(round(0.03 * size), 1)
    best: list[tuple[Tensor, Tensor]] = []
    for height in range(low, high + 1):
        upper = torch.arange(height, size)
        lower = upper - height
        away = ((upper + lower) / 2 / (size - 1) - MIDDLE[2]) / _AWAY
        inner = max(height - 2 * beyond - 1, 1)
        between = F.max_pool1d(plates[:, None], inner, 1)[:, 0][:, lower + beyond + 1]
        outside = plates[:, (upper + beyond).clamp(max=size - 1)] + plates[:, (lower - beyond).clamp(min=0)]
        score = plates[:, upper] + plates[:, lower] - 0.5 * between.clamp(min=0) - 0.15 * outside - 0.15 * away**2
        value, place = score.max(1)
        best.append((value, upper[place]))
    score, upper = (torch.stack(part) for part in zip(*best, strict=True))
    chosen = score.argmax(0)
    every = torch.arange(len(plates))
    return score[chosen, every], upper[chosen, every], chosen + low
