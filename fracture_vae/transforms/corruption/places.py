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
    batch, size = len(images), torch.tensor(images.shape[2:])
    drawn = torch.rand(batch, CANDIDATES, len(size), generator=generator)
    places = (drawn * size).long()
    low, high = tissue_box(images)
    in_tissue = _look(images, places) > 0
    reach = radius[:, None, None]
    within = ((places >= low[:, None] + reach) & (places <= high[:, None] - reach)).all(-1)
    sound = in_tissue & within
    merit = 2.0 * in_tissue + within
    if structured:
        compared = sound & (sound.cumsum(1) <= COMPARED)
        merit = merit + compared * (0.5 + structure(images, places, radius))
    chosen = places[torch.arange(batch), merit.argmax(1)].float()
    for sample in in_tissue.any(1).logical_not().nonzero().flatten().tolist():
        tissue = (images[sample].amax(0) > 0).nonzero()
        if len(tissue):
            chosen[sample] = tissue[int(drawn[sample, 0, 0] * len(tissue))].float().cpu()
    return chosen


def tissue_box(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the last index (B, D) of the box that holds an image's positive voxels, to 2 voxels.

    An image without any has all of it.
    """
    dims = images.dim() - 2
    positive = images[(slice(None), slice(None), *[slice(None, None, STRIDE)] * dims)].amax(1) > 0
    low, high = torch.zeros(len(images), dims), torch.zeros(len(images), dims)
    for axis in range(dims):
        line = positive.movedim(1 + axis, 1).flatten(2).any(2).cpu()
        line = line | ~line.any(1, keepdim=True)
        count = images.shape[2 + axis]
        low[:, axis] = line.float().argmax(1) * STRIDE
        high[:, axis] = (count - 1 - line.flip(1).float().argmax(1) * STRIDE).float()
    return low, high


def structure(images: Tensor, places: Tensor, radius: Tensor) -> Tensor:
    """Return (B, N): the standard deviation around ``places`` (B, N, D), half a ``radius`` (B,) away on each axis.

    At most 0.5 for images in [0, 1].
    """
    dims = places.shape[-1]
    steps = torch.cat([torch.eye(dims), -torch.eye(dims), torch.zeros(1, dims)])
    around = places[:, :, None] + (steps * radius[:, None, None, None] / 2).round().long()
    around = around.clamp(min=0).minimum(torch.tensor(images.shape[2:]) - 1)
    values = _look(images, around.flatten(1, 2)).reshape(*around.shape[:3])
    return values.std(2, correction=0)


def _look(images: Tensor, places: Tensor) -> Tensor:
    """Return (B, N), on the CPU, the largest channel at ``places`` (B, N, D)."""
    where: list[Tensor | slice] = [torch.arange(len(images))[:, None], slice(None), *places.unbind(-1)]
    return images[tuple(where)].amax(-1).cpu()
