"""The endplates of the vertebra in the middle of a crop, from the image alone."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MIDDLE = (0.5, 0.61, 0.475)
"""Where a body's middle is expected in a crop around its vertebra's centroid, as shares of the axes: behind and below
it lie arch and processes."""
HEIGHTS = (0.1, 0.27)
"""Heights of a body that are looked for, as shares of the axis (13 to 35 mm of 128)."""
SLOPES = (-0.8, 0.5)
"""Rises of an endplate towards the front that are looked for, in voxels a voxel."""
_TRIED = 14  # slopes
_TURN = 3  # how many of them an endplate may differ from the other one's
_HALF_WIDTH, _HALF_DEPTH = 0.045, 0.075  # of the column of bone that is looked at, as shares of the axes
_AWAY = 0.065  # how far in front of and behind the expected middle it is looked at too
_BLUR = 0.012  # half of the length a slice is compared with, as a share of the axis, as all below
_BESIDE = 0.019  # how much above and below a slice tells bone from disc
_CLEAR = 0.026  # around an endplate is no other one
_DISC = (0.012, 0.09)  # heights of a disc
_SPREAD = 0.067  # standard deviation of a body's middle about where it is expected
_HEIGHT, _HEIGHT_SPREAD = 0.174, 0.22  # of a body, and the standard deviation of its logarithm


class Endplates(NamedTuple):
    """The two planes a body lies between, of each image; (B,)."""

    lower: Tensor
    """Height over the middle of the body, voxels along z."""
    upper: Tensor
    slope: Tensor
    """Mean of both: voxels along z a voxel to the front."""


class _Plates(NamedTuple):
    """How well an endplate fits, (B, windows, slopes, D), by its height in the middle of its window."""

    bright: Tensor
    upper: Tensor
    lower: Tensor


def find_endplates(images: Tensor) -> Endplates:
    """Return the endplates of (B, C, H, W, D) RAS ``images``, on their device and without waiting for it.

    An endplate is a slice of a column of bone, sheared by a slope, that is brighter than those about it, with bone on
    its inner side, a disc on the other and the next body's endplate beyond. Of all pairs a body's height apart, in
    three windows from back to front, the best have no other endplate between them and are near the middle; then each
    of the two is turned and moved by itself. Every voxel counts for little, so that a bright spot is no endplate.
    """
    away = max(round(_AWAY * images.shape[3]), 1)
    half = max(round(_HALF_DEPTH * images.shape[3]), 1)
    middle = round(MIDDLE[1] * (images.shape[3] - 1))
    plates = _plates(_seen(_column(images, middle, away + half)), away, half)
    windows = (torch.arange(3, device=images.device) - 1.0) * away
    slopes = torch.linspace(*SLOPES, _TRIED, device=images.device)
    window, slope, upper, height = _best_pair(plates, windows, slopes)
    every = torch.arange(len(images), device=images.device)
    forward = MIDDLE[1] * (images.shape[3] - 1) - middle - windows[window]
    ends = []
    for own, place in ((plates.lower, upper - height), (plates.upper, upper)):
        z, number = _turned(own[every, window], slope, place)
        ends.append((z + slopes[number] * forward, slopes[number]))
    (lower, one), (upper, other) = ends
    return Endplates(lower, torch.maximum(upper, lower + 1), (one + other) / 2)


def _column(images: Tensor, middle: int, reach: int) -> Tensor:
    """Return (B, 2 reach + 1, D): the mean over the midline's slices, from back to front about ``middle``."""
    half = max(round(_HALF_WIDTH * images.shape[2]), 1)
    centre = round(MIDDLE[0] * (images.shape[2] - 1))
    y = torch.arange(middle - reach, middle + reach + 1, device=images.device).clamp(0, images.shape[3] - 1)
    return images[:, 0, max(centre - half, 0) : centre + half + 1].float().mean(1).index_select(1, y)


def _seen(column: Tensor) -> Tensor:
    """Return (B, 2, n, D) in (-1, 1): by how much a voxel is brighter than those above and below it together, and how
    much brighter it is below than above."""
    size = column.shape[2]
    reach, beside = max(round(_BLUR * size), 1), max(round(_BESIDE * size), 1)
    bright = column - F.avg_pool1d(column, 2 * reach + 1, 1, reach, count_include_pad=False)
    spread = 2 * bright.flatten(1).std(1).clamp(min=1e-4)[:, None, None]
    means = F.avg_pool1d(F.pad(column, (beside + 1, beside + 1), mode="replicate"), beside, 1)
    step = means[..., 1 : 1 + size] - means[..., beside + 2 : beside + 2 + size]
    return torch.stack([bright / spread, step / spread], 1).tanh()


def _plates(seen: Tensor, away: int, half: int) -> _Plates:
    """Shear (B, 2, n, D) by each slope in each window, and add what lies beyond the disc."""
    size, depth = seen.shape[3], 2 * half + 1
    slopes = torch.linspace(*SLOPES, _TRIED, device=seen.device)
    forward = torch.arange(depth, device=seen.device)[:, None]
    source = torch.arange(size, device=seen.device) + slopes[:, None, None] * (forward - half)
    source = source.clamp(0, size - 1)
    below = source.floor().clamp(max=size - 2)
    place, part = (forward * size + below.long()).flatten(), (source - below).flatten()
    windows = [seen[:, :, start : start + depth].flatten(2) for start in (0, away, 2 * away)]
    sheared = [torch.lerp(one[..., place], one[..., place + 1], part) for one in windows]
    bright, step = torch.stack(sheared, 2).unflatten(3, (_TRIED, depth, size)).mean(4).unbind(1)
    upper, lower = bright + 0.27 * step, bright - 0.27 * step
    low, high = (max(round(share * size), least) for share, least in zip(_DISC, (1, 2), strict=True))
    above, under = (
        F.max_pool1d(F.pad(plates, (high, high)).flatten(0, 1), high - low + 1, 1).view(*bright.shape[:3], -1)
        for plates in (lower, upper)
    )
    above, under = above[..., high + low :][..., :size].clamp(min=0), under[..., :size].clamp(min=0)
    return _Plates(bright, upper + 0.27 * above, lower + 0.27 * under)


def _best_pair(plates: _Plates, windows: Tensor, slopes: Tensor) -> tuple[Tensor, ...]:
    """Return the best pair's window, slope (both by number), upper slice and height, (B,) each.

    What weighs how much was found on real and synthetic vertebrae.
    """
    shape = plates.bright.shape
    size, device = shape[3], plates.bright.device
    low, high = (round(share * size) for share in HEIGHTS)
    clear = max(round(_CLEAR * size), 1)
    likely = -0.17 * (slopes[:, None] + 0.05) ** 2 - 0.07 * (windows[:, None, None] / windows[-1] * 1.33) ** 2
    expected = MIDDLE[2] * (size - 1) + windows[:, None, None] * slopes[:, None]
    score = plates.bright.new_full((high - low + 1, *shape), -math.inf)
    for number, height in enumerate(range(low, high + 1)):
        tops = torch.arange(height, size, device=device)
        inner = max(height - 2 * clear - 1, 1)
        between = F.max_pool1d(plates.bright.flatten(0, 1), inner, 1).view(*shape[:3], -1)
        between = between[..., (tops - height + clear + 1).clamp(max=between.shape[3] - 1)]
        off = ((tops - height / 2) - expected) / (size - 1) / _SPREAD
        unusual = math.log(max(height, 1) / size / _HEIGHT) / _HEIGHT_SPREAD
        pair = plates.upper[..., height:] + plates.lower[..., : size - height] - 0.9 * between.clamp(min=0)
        score[number, ..., height:] = pair + likely - 0.145 * off**2 - 0.054 * unusual**2
    best = score.movedim(1, 0).flatten(1).argmax(1)
    window, slope = best // (shape[2] * size) % shape[1], best // size % shape[2]
    return window, slope, best % size, best // math.prod(shape[1:]) + low


def _turned(plates: Tensor, slope: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Return where (B, slopes, D) ``plates`` are best near ``slope`` (by number) and ``place``: height and slope."""
    size, device = plates.shape[2], plates.device
    reach = max(round(0.03 * size), 1)
    turns = torch.arange(-_TURN, _TURN + 1, device=device)
    moves = torch.arange(-reach, reach + 1, device=device)
    number, at = (slope[:, None] + turns).clamp(0, _TRIED - 1), (place[:, None] + moves).clamp(0, size - 1)
    every = torch.arange(len(plates), device=device)
    step = (SLOPES[1] - SLOPES[0]) / (_TRIED - 1)
    near = (turns[:, None] * step) ** 2 + 0.1 * (moves / reach) ** 2
    best = (plates[every[:, None, None], number[:, :, None], at[:, None]] - near).flatten(1).argmax(1)
    return at[every, best % len(moves)].float(), number[every, best // len(moves)]
