"""A body's anterior, middle and posterior height, measured in its mask, the same way before and after a fracture."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.fracture.frame import Array, Body, Mask
from fracture_vae.cohort.genant import Heights

RIM = 0.85  # where heights are read in front and behind, as a fraction of the body's half depth
_ASIDE = 4.0  # mm to each side of the midline that are averaged
_ALONG = 1.0  # mm before and behind each site
_STEP = 0.5  # mm along w

Map = Callable[[Array], Array]


def measure(mask: Mask, affine: Array, body: Body, source_of: Map | None = None) -> Heights:
    """Measure the three heights (mm) of one vertebra's mask in the frame of its healthy body.

    A height is how much bone stands above the base along w, the mean over 9 × 3 columns about the site; summed
    over occupancy that is linear between voxels, so it is finer than a voxel.

    Args:
        mask: (H, W, D), the whole vertebra.
        affine: (4, 4), voxels to world millimetres.
        body: of the vertebra as found before any fracture.
        source_of: measure the mask as it would be after a deformation that takes points (3, …) of the own frame to
            where their tissue came from.
    """
    u = np.arange(-_ASIDE, _ASIDE + 0.5)
    v = np.arange(-_ALONG, _ALONG + 0.5)
    sites = np.array([RIM, 0.0, -RIM]) * body.half_depth
    low = float(body.bottom[body.footprint].min()) - 4
    high = float(body.top[body.footprint].max()) + 4
    w = np.arange(low, high, _STEP)
    points = np.stack(np.broadcast_arrays(u[:, None, None, None], (sites[:, None] + v)[None, :, :, None], w)).astype(
        float
    )
    own = points if source_of is None else source_of(points)
    bone = occupancy(mask, affine, body.frame.to_world(own))
    return Heights(*(float(h) for h in bone.sum(axis=3).mean(axis=(0, 2)) * _STEP))


def occupancy(mask: Mask, affine: Array, world: Array) -> NDArray[np.float32]:
    """Return how much of each world point (3, …) is in the mask, 0 to 1, linear between voxel centres."""
    inverse = np.linalg.inv(affine)
    index = np.tensordot(inverse[:3, :3], world, 1) + inverse[:3, 3].reshape(3, *[1] * (world.ndim - 1))
    low = np.maximum(np.floor(index.reshape(3, -1).min(axis=1)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(index.reshape(3, -1).max(axis=1)).astype(int) + 2, mask.shape)
    if (low >= high).any():
        return np.zeros(world.shape[1:], np.float32)
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    index -= low.reshape(3, *[1] * (world.ndim - 1))
    return ndimage.map_coordinates(part, index, order=1, mode="constant")
