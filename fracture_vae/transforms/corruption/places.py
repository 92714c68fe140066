"""Where something may grow: in tissue, and away from the end of what was imaged."""

import torch
from torch import Tensor

CANDIDATES = 32
"""Places tried before an image is searched for tissue."""
STRIDE = 2
"""Every how many voxels an image is looked at for how far its tissue reaches."""
COMPARED = 4
"""Sound places among which the most structured one is taken."""


def tissue_places(images: Tensor, radius: Tensor, structured: bool, generator: torch.Generator) -> Tensor:
    """Return a place (B, D), in voxels, for a blob of ``radius`` (B,) voxels in each of (B, C, *spatial) ``images``.

    The image is positive there, if it is anywhere; and a ball of that radius does not leave the box that holds all
    positive voxels, if one of the places tried allows that: a blob half in the padding, or beyond the edge of the
    field of view, is no lesion. ``structured`` takes the place with the most different surroundings of a few.
    """
    batch, size, device = len(images), torch.tensor(images.shape[2:]), images.device
    drawn = torch.rand(batch, CANDIDATES, len(size), generator=generator)
    places = (drawn * size).long().to(device, non_blocking=True)
    radius = radius.to(device, non_blocking=True)
    low, high = tissue_box(images)
    in_tissue = _look(images, places) > 0
    reach = radius[:, None, None]
    within = ((places >= low[:, None] + reach) & (places <= high[:, None] - reach)).all(-1)
    sound = in_tissue & within
    merit = 2.0 * in_tissue + within
    if structured:
        compared = sound & (sound.cumsum(1) <= COMPARED)
        merit = merit + compared * (0.5 + structure(images, places, radius))
    chosen = places[torch.arange(batch, device=device), merit.argmax(1)]
    missed = ~in_tissue.any(1)
    if device.type != "cpu" or missed.any():  # to ask costs nothing on a CPU, and elsewhere more than to search
        share = drawn[:, 0, 0].to(device, non_blocking=True)
        chosen = torch.where(missed[:, None], _searched(images, share, chosen), chosen)
    return chosen.float()


def _searched(images: Tensor, share: Tensor, otherwise: Tensor) -> Tensor:
    """Return the positive voxel (B, D) that comes after a ``share`` (B,) of all of an image, in the order of storage.

    ``otherwise`` (B, D) stands for an image without any. Planes are counted, then lines of the plane, then voxels.
    """
    positive = images.amax(1) > 0
    count = positive.flatten(1).sum(1)
    left, found = (share * count).long().clamp(max=count - 1), []
    every = torch.arange(len(images), device=images.device)
    for _ in range(otherwise.shape[1]):
        up_to = positive.flatten(2).sum(2).cumsum(1) if positive.dim() > 2 else positive.cumsum(1)
        place = (up_to <= left[:, None]).sum(1).clamp(max=up_to.shape[1] - 1)
        left = left - torch.where(place > 0, up_to[every, (place - 1).clamp(min=0)], 0)
        positive = positive[every, place]
        found.append(place)
    return torch.where(count[:, None] > 0, torch.stack(found, 1), otherwise)


def tissue_box(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the last index (B, D) of the box that holds an image's positive voxels, to 2 voxels.

    An image without any has all of it.
    """
    dims = images.dim() - 2
    positive = images[(slice(None), slice(None), *[slice(None, None, STRIDE)] * dims)].amax(1) > 0
    low, high = [], []
    for axis in range(dims):
        line = positive.movedim(1 + axis, 1).flatten(2).any(2)
        line = line | ~line.any(1, keepdim=True)
        low.append(line.float().argmax(1) * STRIDE)
        high.append(images.shape[2 + axis] - 1 - line.flip(1).float().argmax(1) * STRIDE)
    return torch.stack(low, 1).float(), torch.stack(high, 1).float()


def structure(images: Tensor, places: Tensor, radius: Tensor) -> Tensor:
    """Return (B, N): the standard deviation around ``places`` (B, N, D), half a ``radius`` (B,) away on each axis.

    At most 0.5 for images in [0, 1].
    """
    dims = places.shape[-1]
    ones = torch.eye(dims, device=images.device)
    steps = torch.cat([ones, -ones, torch.zeros_like(ones[:1])])
    around = places[:, :, None] + (steps * radius[:, None, None, None] / 2).round().long()
    last = zip(around.unbind(-1), images.shape[2:], strict=True)
    around = torch.stack([place.clamp(0, size - 1) for place, size in last], -1)
    values = _look(images, around.flatten(1, 2)).reshape(*around.shape[:3])
    return values.std(2, correction=0)


def _look(images: Tensor, places: Tensor) -> Tensor:
    """Return (B, N), the largest channel at ``places`` (B, N, D)."""
    every = torch.arange(len(images), device=images.device)[:, None]
    where: list[Tensor | slice] = [every, slice(None), *places.unbind(-1)]
    return images[tuple(where)].amax(-1)
