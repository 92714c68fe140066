"""Whether a CT's numbers are Hounsfield units, free of metal and not drowned in noise, where the spine is."""

from collections.abc import Sequence

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from fracture_vae.preparation.vertebra import Vertebra

METAL_HU = 3000.0
"""Enamel and the densest bone stay below; scanners saturate at 3071 unless an extended scale is on."""
METAL_NEAR_MM = 20.0
"""Streaks of a screw or cement this near run through the vertebra; a hip prosthesis is further off."""
METAL_MM3 = 20.0
"""Less is a single voxel of noise."""
BONE_HU = (0.0, 900.0)
"""Where the median of all labelled voxels lies in any adult: marrow, cortex and canal together."""
NO_FAT_HU = -30.0
"""A scan whose lowest value lies above this shows neither fat nor air; there is always some of them."""
SOFT_HU = (0.0, 100.0)
"""Muscle and vessels, whose texture is mostly noise."""
NOISE_HU = 150.0
"""Standard deviation at which single voxels say nothing: trabecular bone itself lies at 50 to 250 HU."""

_THINNED = 5000  # points a vertebra for distances: under 2 mm apart
_PLATEAU = 0.002  # share of the spine's voxels at the very maximum: cut off there


def not_hu(ct: NDArray[np.float32], vertebrae: Sequence[Vertebra]) -> str:
    """Return why the numbers cannot be the HU of a spine, or an empty text."""
    low, high = float(ct.min()), float(ct.max())
    values = np.concatenate([ct[vertebra.box][vertebra.own] for vertebra in vertebrae])
    median = float(np.median(values))
    if median > BONE_HU[1] and low >= 0:
        return (
            f"bone has {median:.0f} in the median and nothing lies below {low:.0f}: HU + 1024? Subtract it, or export"
            " with the rescale intercept"
        )
    if not BONE_HU[0] <= median <= BONE_HU[1]:
        return f"labelled voxels have {median:.0f} HU in the median, which is no bone: does the mask fit this image?"
    if high < METAL_HU / 2 and (values == high).mean() > _PLATEAU:
        return (
            f"cut off at {high:.0f}, where {(values == high).mean():.1%} of the bone lies: export all of the HU range"
        )
    if low > NO_FAT_HU:
        return f"the lowest value is {low:.0f}, so fat and air are cut off or the scale is not HU: export the CT in HU"
    return ""


def metal(ct: NDArray[np.float32], vertebrae: Sequence[Vertebra], affine: NDArray[np.float64]) -> dict[str, str]:
    """Tell, by level, how much metal lies in or near each vertebra; a voxel counts for its nearest vertebra.

    Where the brightest value is shared by more than `METAL_MM3` and above half of `METAL_HU`, the scale ends there, and
    that value stands for metal.
    """
    spacing = voxel_sizes(affine)
    voxel = float(np.prod(spacing))
    box = _around(ct.shape, vertebrae, np.ceil(METAL_NEAR_MM / spacing).astype(int))
    part = ct[box]
    high = float(part.max())
    saturated = high >= METAL_HU / 2 and (part == high).sum() * voxel >= METAL_MM3
    threshold = min(METAL_HU, high) if saturated else METAL_HU
    bright = np.argwhere(part >= threshold)
    if len(bright) * voxel < METAL_MM3:
        return {}
    places = apply_affine(affine, bright + [side.start for side in box])
    distances = np.stack([cKDTree(v.points(affine, _THINNED)).query(places)[0] for v in vertebrae])
    owner = np.where(distances.min(axis=0) <= METAL_NEAR_MM, distances.argmin(axis=0), -1)
    found = {}
    for index, vertebra in enumerate(vertebrae):
        count = int((owner == index).sum())
        if count * voxel >= METAL_MM3:
            found[vertebra.level] = (
                f"{count} voxels ({count * voxel:.0f} mm³) of at least {threshold:.0f} HU within {METAL_NEAR_MM:.0f}"
                " mm: screws, cement or an electrode; streaks may look abnormal. Leave it out, or mark it"
            )
    return found


def noise(ct: NDArray[np.float32], vertebrae: Sequence[Vertebra]) -> float | None:
    """Return the standard deviation (HU) of noise in the soft tissue round the spine, in axial planes.

    Immerkær's operator, the difference of two Laplacians, is blind to slopes (Immerkær, Fast noise variance
    estimation, CVIU 64(2), 1996, eq. 2); the median of its size is deaf to edges. Noise that is correlated between
    voxels comes out too low. None where there is too little soft tissue.
    """
    part = ct[_around(ct.shape, vertebrae, np.array([10, 10, 0]))]
    operator = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)[:, :, None]
    smooth = ndimage.uniform_filter(part, (5, 5, 1))
    soft = (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1])
    if soft.sum() < 1000:
        return None
    return float(np.median(np.abs(ndimage.convolve(part, operator)[soft])) / 0.6745 / 6)


def _around(
    shape: Sequence[int], vertebrae: Sequence[Vertebra], margin: NDArray[np.int64]
) -> tuple[slice, slice, slice]:
    """Return the slices that hold all vertebrae, and ``margin`` voxels more."""
    boxes = [[(side.start, side.stop) for side in vertebra.box] for vertebra in vertebrae]
    start = np.maximum(np.min(boxes, axis=0)[:, 0] - margin, 0)
    stop = np.minimum(np.max(boxes, axis=0)[:, 1] + margin, shape)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return i, j, k
