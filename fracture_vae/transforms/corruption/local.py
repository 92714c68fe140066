"""What corruptions of one blob have in common: the box they work in, and how it is put back with its truth."""

from typing import NamedTuple

import torch
from torch import Tensor

from fracture_vae.transforms.corruption.base import Corrupted, changed
from fracture_vae.transforms.corruption.blobs import Blobs, box_of, tissue, to_device, weights
from fracture_vae.transforms.corruption.box import Box, cut, paste


class Place(NamedTuple):
    """A blob in each image, and the box around it."""

    box: Box
    region: Tensor
    """(B, C, *box), the images there."""
    weight: Tensor
    """(B, 1, *box) in [0, 1]: how much of the change a voxel gets; 0 outside the blob and where there is no tissue."""
    uneven: Tensor
    """(B, 1, *box), 1 on average: how the strength varies inside."""


def inside(images: Tensor, blobs: Blobs, shape: tuple[int, ...] | None = None) -> Place:
    """Return the place of each image's blob, on the images' device; the box is of ``shape``, if that is given."""
    blobs, box = to_device(blobs, box_of(blobs, images.shape[2:], shape), images.device)
    region = cut(images, box)
    weight, uneven = weights(blobs, box)
    return Place(box, region, weight * tissue(region), uneven)


def changed_in(images: Tensor, place: Place, region: Tensor) -> Corrupted:
    """Return ``images`` with ``region`` (B, C, *box), clipped to [0, 1], in the box wherever the weight is positive."""
    region = torch.where(place.weight > 0, region.clamp(0, 1), place.region)
    truth = changed(place.region, region, place.weight)
    nowhere = torch.zeros_like(images[:, :1])
    return Corrupted(paste(images, place.box, region), paste(nowhere, place.box, truth))
