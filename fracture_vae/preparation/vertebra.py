"""Each vertebra of a mask, measured once for all checks."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.levels import in_order
from fracture_vae.cohort.volumes import Volume


class Vertebra(NamedTuple):
    """One labelled vertebra.

    Attributes:
        level: its name.
        number: its number in the mask.
        box: slices of the mask (RAS) that hold it.
        own: True at its voxels within ``box``.
        mm3: its volume.
        centroid: (3,) world mm (RAS).
    """

    level: str
    number: int
    box: tuple[slice, slice, slice]
    own: NDArray[np.bool_]
    mm3: float
    centroid: NDArray[np.float64]

    def points(self, affine: NDArray[np.float64], at_most: int | None = None) -> NDArray[np.float64]:
        """Return (N, 3) world mm of its voxels, evenly thinned to about ``at_most``."""
        voxels = np.argwhere(self.own)
        step = 1 if at_most is None else max(1, len(voxels) // at_most)
        return np.asarray(apply_affine(affine, voxels[::step] + [side.start for side in self.box]))


def measure(mask: Volume, levels: Mapping[str, int]) -> list[Vertebra]:
    """Return the vertebrae the mask holds, from head to foot by name; levels it lacks are passed over."""
    boxes = ndimage.find_objects(mask.array.astype(np.int32))
    voxel = float(abs(np.linalg.det(mask.affine[:3, :3])))
    found = []
    for level in in_order(levels):
        number = levels[level]
        box = boxes[number - 1] if 0 < number <= len(boxes) else None
        if box is None:
            continue
        own = mask.array[box] == number
        middle = np.argwhere(own).mean(axis=0) + [side.start for side in box]
        found.append(Vertebra(level, number, box, own, own.sum() * voxel, apply_affine(mask.affine, middle)))
    return found
