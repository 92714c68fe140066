"""Whether a scan shows the patient the right way round, as far as it can be told.

The liver lies on the right and the aorta on the left. Where the field of view shows neither, or both sides look
alike, nothing is said: an unenhanced scan cropped to the spine cannot be told from its mirror image. (The heart is
not looked at: effusions and collapsed lungs move it.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.geometry import centred_affine, resample, resample_mask
from fracture_vae.cohort.volumes import Volume
from fracture_vae.preparation.vertebra import Vertebra

TIMES = 5.0
"""How many times more of an organ must lie on the wrong side than on the right one before anything is said."""

LIVER_LEVELS = ("T9", "T10", "T11", "T12", "L1")
LIVER_HU = (30.0, 150.0)
LIVER_DEPTH_MM = 12.0
LIVER_ML = 50.0
LIVER_REACH_MM = 100.0
"""The liver is the only organ beside T9 to L1 with over 50 ml that lie deeper than 12 mm in tissue of 30 to 150 HU:
spleen, kidneys and muscle are thinner, stomach and bowel mixed with gas. It takes 100 mm of scan on either side."""

AORTA_LEVELS = tuple(f"T{number}" for number in range(5, 13))
AORTA_HU = (150.0, 600.0)
AORTA_DEPTH_MM = 4.0
AORTA_REACH_MM = 45.0
AORTA_FRONT_MM = 55.0
AORTA_HEIGHT_MM = 60.0
"""An enhanced aorta runs down the chest beside or in front of the bodies, its middle within 45 mm of the spine's to the
side and 55 mm in front of the vertebrae's centroids, which lie near the canal. Below T12 an enhanced vena cava, or
bowel filled with contrast agent, may run on the right just so; over less than 60 mm a winding aorta may cross over."""

_LIVER_GRID_MM, _AORTA_GRID_MM = 4.0, 2.0
_MIDLINE_MM = 15.0  # the liver's lobes and the stomach meet here: not counted
_OUTSIDE = -9999.0  # below anything a CT holds


class _Slab(NamedTuple):
    """The scan beside some levels, on a coarse grid along the world's axes.

    Attributes:
        hu: (X, Y, Z) HU, `_OUTSIDE` beyond the scan.
        bone: (X, Y, Z) True in and within one voxel of a labelled vertebra.
        right: (X, Z) mm to the right of the spine's middle at that height.
        front: (Y, Z) mm in front of the vertebrae's centroids at that height.
    """

    hu: NDArray[np.float32]
    bone: NDArray[np.bool_]
    right: NDArray[np.float64]
    front: NDArray[np.float64]


def liver_on_left(ct: Volume, mask: Volume, vertebrae: Sequence[Vertebra]) -> str:
    """Return why the liver seems to be on the left, or an empty text."""
    beside = [vertebra for vertebra in vertebrae if vertebra.level in LIVER_LEVELS]
    if not beside:
        return ""
    slab = _slab(ct, mask, beside, 200.0, _LIVER_GRID_MM)
    seen = (slab.hu > _OUTSIDE).any(axis=1)
    if not all((seen & far).any() for far in (slab.right < -LIVER_REACH_MM, slab.right > LIVER_REACH_MM)):
        return ""
    organ = _deep(slab.hu, LIVER_HU, LIVER_DEPTH_MM, _LIVER_GRID_MM)
    left, right = _either_side(organ, slab.right, _MIDLINE_MM, _LIVER_GRID_MM)
    if left < LIVER_ML or left < TIMES * right:
        return ""
    return (
        f"{left:.0f} ml of solid organ lie deep on the left of {_names(beside)} and {right:.0f} ml on the right, as if"
        " the liver were on the left: compare with the original (situs inversus is rarer than a mirrored file)"
    )


def aorta_on_right(ct: Volume, mask: Volume, vertebrae: Sequence[Vertebra]) -> str:
    """Return why the aorta seems to be on the right, or an empty text."""
    beside = [vertebra for vertebra in vertebrae if vertebra.level in AORTA_LEVELS]
    if not beside:
        return ""
    slab = _slab(ct, mask, beside, AORTA_REACH_MM + 30, _AORTA_GRID_MM)
    blood = _deep(np.where(slab.bone, _OUTSIDE, slab.hu), AORTA_HU, AORTA_DEPTH_MM, _AORTA_GRID_MM)
    blood &= ((slab.front > 0) & (slab.front < AORTA_FRONT_MM))[None] & (np.abs(slab.right) < AORTA_REACH_MM)[:, None]
    height = _AORTA_GRID_MM * int((blood & (slab.right > 0)[:, None]).any(axis=(0, 1)).sum())
    left, right = _either_side(blood, slab.right, 0.0, _AORTA_GRID_MM)
    if height < AORTA_HEIGHT_MM or right < TIMES * left:
        return ""
    return (
        f"an enhanced vessel runs {height:.0f} mm along {_names(beside)} on the right and none as large on the left, as"
        " if the aorta were on the right: compare with the original"
    )


def _slab(ct: Volume, mask: Volume, beside: Sequence[Vertebra], reach: float, grid: float) -> _Slab:
    """Resample what lies within ``reach`` mm of the spine to the right, left, front and back, at these levels."""
    points = np.concatenate([vertebra.points(ct.affine, 2000) for vertebra in beside])
    middle = np.array([*np.median(points[:, :2], axis=0), (points[:, 2].min() + points[:, 2].max()) / 2])
    i, j, k = (int(size // grid) + 1 for size in (2 * reach, 2 * reach, np.ptp(points[:, 2])))
    affine = centred_affine(middle.tolist(), (i, j, k), grid)
    hu = resample(ct.array, ct.affine, affine, (i, j, k), outside=_OUTSIDE)
    bone = ndimage.binary_dilation(resample_mask(mask.array > 0, mask.affine, affine, (i, j, k)))
    x, y, z = (affine[axis, 3] + grid * np.arange(size) for axis, size in enumerate((i, j, k)))
    spine = np.array([vertebra.centroid for vertebra in beside])
    spine = spine[np.argsort(spine[:, 2])]
    right, front = (np.interp(z, spine[:, 2], spine[:, axis]) for axis in (0, 1))
    return _Slab(hu, bone, x[:, None] - right[None], y[:, None] - front[None])


def _deep(hu: NDArray[np.float32], window: tuple[float, float], depth: float, grid: float) -> NDArray[np.bool_]:
    """Return where tissue within the window is at least ``depth`` mm away from any other."""
    inside = (hu > window[0]) & (hu < window[1])
    return np.asarray(ndimage.binary_erosion(inside, iterations=round(depth / grid)))


def _either_side(
    organ: NDArray[np.bool_], right: NDArray[np.float64], middle: float, grid: float
) -> tuple[float, float]:
    """Return how much (ml) lies on the left and on the right, further than ``middle`` mm from the midline."""
    columns = organ.sum(axis=1)
    ml = grid**3 / 1000
    return float(columns[right < -middle].sum() * ml), float(columns[right > middle].sum() * ml)


def _names(beside: Sequence[Vertebra]) -> str:
    return beside[0].level if len(beside) == 1 else f"{beside[0].level} to {beside[-1].level}"
