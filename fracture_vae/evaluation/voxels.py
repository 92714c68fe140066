"""What one map says of one case, counted by score: voxels, regions of the truth, candidates. Case by case, no torch.

A tally is small (about 100 kB where the map has 8 MB), so that a study of 10⁹ voxels is counted in flat memory. Scores
are counted in bins of the float32 itself: sign, exponent and the first 9 bits of the mantissa. Bins are 0.1 to 0.2 %
wide at any scale, need no range beforehand, and keep the order. What they may change in a figure is bounded, not
guessed (`curves.average_precision_bounds`).
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.nifti import TOLERANCE, apart
from fracture_vae.cohort.volumes import Stored, Volume, read_stored, read_volume
from fracture_vae.errors import InputError

SEPARATION = 5.0
"""mm; a candidate is the highest of a map within this distance of it along each axis; what is anomalous at a smaller
distance from each other is one region."""
TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a face, an edge or a corner are one region."""
_DROPPED = 14  # bits of the mantissa


class Histogram(NamedTuple):
    """How much lies in each bin that is not empty: keys rise with the score."""

    keys: NDArray[np.int32]
    counts: NDArray[np.float64]


class Tally(NamedTuple):
    """One case.

    Attributes:
        negative, positive: its voxels without and with anomaly.
        overlap: for each region of the truth (see `zones`) the share of its anomalous voxels, summed over the regions.
        regions: how many there are.
        hits: regions, by the best candidate in their zone; one without is missing.
        false: candidates outside all zones.
        above: voxels (without, with anomaly) above the calibrated threshold; NaN without one.
    """

    negative: Histogram
    positive: Histogram
    overlap: Histogram
    regions: int
    hits: Histogram
    false: Histogram
    above: tuple[float, float]


class Asked(NamedTuple):
    """A map to count.

    Attributes:
        map: the file.
        image: that it is of.
        mask: the truth in the same grid; None for a case without anomaly.
        crop: the cohort's column ``crop``, or empty: outside the source's field of view nothing is counted.
        threshold: calibrated, of the map; NaN without one.
    """

    map: Path
    image: Path
    mask: Path | None
    crop: str
    threshold: float = math.nan


def tally_case(asked: Asked) -> Tally:
    """Read a map and its truth, and count.

    Raises:
        InputError: a file that cannot be read, numbers that are not finite, grids that differ, a mask that is empty.
    """
    shown = read_volume(asked.map, allow_constant=True)
    valid = np.ones(shown.array.shape, dtype=bool)
    if asked.crop:
        inside = CropGeometry.from_json(asked.crop, str(asked.map)).inside_source()
        if inside.shape != valid.shape:
            raise InputError(f"{asked.map}: its size {valid.shape} is not the crop's {inside.shape}; run infer again")
        valid = inside
    image, size = read_stored(asked.image), shown.array.shape
    if image.ras_shape != size:
        raise InputError(
            f"{asked.map}: its size {size} is not that of {asked.image.name}, {image.ras_shape}; infer again"
        )
    _require_same_place(shown.stored, image, "run infer again")
    truth = np.zeros(valid.shape, dtype=bool) if asked.mask is None else _truth(asked.mask, shown)
    return tally(shown.array, truth, valid, voxel_sizes(shown.affine), asked.threshold)


def _truth(mask: Path, shown: Volume) -> NDArray[np.bool_]:
    volume = read_volume(mask, allow_constant=True)
    if volume.array.shape != shown.array.shape:
        raise InputError(
            f"{mask}: its size {volume.array.shape} is not that of {shown.stored.path.name}, {shown.array.shape}; "
            "give the mask of the image the map is of"
        )
    _require_same_place(volume.stored, shown.stored, "give the mask of the image the map is of")
    return volume.array > 0


def _require_same_place(one: Stored, other: Stored, advice: str) -> None:
    """Require that two volumes of one size lie in one place; a ``.npy`` says nothing of its own.

    Raises:
        InputError: for the first, as somebody moved, turned or scaled it, or it is of another image.
    """
    if any(stored.path.suffix.lower() == ".npy" for stored in (one, other)):
        return
    distance = apart(one.ras_affine, other.ras_affine, one.ras_shape)
    if distance > TOLERANCE * voxel_sizes(other.affine).min():
        raise InputError(f"{one.path}: lies up to {distance:.3g} mm away from {other.path.name}; {advice}")


def tally(
    values: NDArray[np.float32],
    truth: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    threshold: float = math.nan,
) -> Tally:
    """Count a map (H, W, D), higher is more abnormal, against its truth, where it is valid; ``spacing`` (3,) in mm."""
    found = keys(values)
    truth = truth & valid
    regions, count = zones(truth, spacing)
    inside, own = found[truth], regions[truth]
    share = 1 / np.maximum(np.bincount(own, minlength=count + 1), 1)
    peaks = candidates(np.where(valid, values, -np.inf), spacing)
    hit, at = regions[peaks], found[peaks]
    best = np.full(count + 1, np.iinfo(np.int32).min, np.int32)
    np.maximum.at(best, hit, at)
    reached = np.isin(np.arange(1, count + 1), hit)
    above = (float("nan"),) * 2
    if not math.isnan(threshold):
        alarm = (values > threshold) & valid
        positive = int(np.count_nonzero(alarm & truth))
        above = (float(np.count_nonzero(alarm) - positive), float(positive))
    return Tally(
        histogram(found[valid & ~truth]),
        histogram(inside),
        histogram(inside, share[own]),
        count,
        histogram(best[1:][reached]),
        histogram(at[hit == 0]),
        (above[0], above[1]),
    )


def zones(truth: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[NDArray[np.int32], int]:
    """Return the regions of a truth, numbered from 1 in the zone each holds, (H, W, D), and how many there are.

    A fracture's truth is a thin shell that a grid breaks into specks; each would weigh as much as a lesion. So, as
    CAMELYON16 does (Ehteshami Bejnordi et al., JAMA 2017; MONAI's ``compute_multi_instance_mask``), a zone is what lies
    within half of `SEPARATION` of an anomalous voxel, with its holes filled, and a region is what one zone holds.
    """
    if not truth.any():
        return np.zeros(truth.shape, np.int32), 0
    near = ndimage.distance_transform_edt(~truth, spacing) <= SEPARATION / 2
    found, count = ndimage.label(ndimage.binary_fill_holes(near), TOUCHING)
    return found, int(count)


def keys(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the bin of each value: a whole number that rises with it. Both zeros share one."""
    bits = (values.astype(np.float32) + np.float32(0)).view(np.int32)
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits) >> np.int32(_DROPPED)


def histogram(found: NDArray[np.int32], weights: NDArray[np.float64] | None = None) -> Histogram:
    """Count keys (N,), or sum their ``weights``."""
    if not found.size:
        return Histogram(np.zeros(0, np.int32), np.zeros(0))
    first = int(found.min())
    counts = np.bincount(found - first, weights)
    filled = np.flatnonzero(counts)
    return Histogram((filled + first).astype(np.int32), counts[filled].astype(np.float64))


def candidates(values: NDArray[np.floating], spacing: NDArray[np.float64]) -> tuple[NDArray[np.intp], ...]:
    """Return the voxels, as an index, at which a map has a connected local maximum: a peak no higher one is near.

    A plateau is one candidate, at the middle one of its voxels. Where a map is level as far as `SEPARATION`, it has
    none.

    Args:
        values: (H, W, D); ``-inf`` where nothing is to be found.
        spacing: (3,) mm.
    """
    reach = tuple(int(2 * max(1, round(SEPARATION / step)) + 1) for step in spacing)
    highest = ndimage.maximum_filter(values, reach, mode="nearest")
    top = (values == highest) & (values > -np.inf)
    plateaus, count = ndimage.label(top, TOUCHING)
    if count == 0:
        return tuple(np.zeros(0, np.intp) for _ in range(values.ndim))
    voxels = np.flatnonzero(top)
    owner = plateaus.ravel()[voxels]
    if len(voxels) > count:
        seen = np.where(values > -np.inf, values, np.inf)
        lowest = ndimage.minimum_filter(seen, reach, mode="nearest").ravel()[voxels]
        rising = np.bincount(owner, lowest < values.ravel()[voxels], count + 1) > 0
        voxels, owner = voxels[rising[owner]], owner[rising[owner]]
    order = np.argsort(owner, kind="stable")
    _, first, size = np.unique(owner[order], return_index=True, return_counts=True)
    return np.unravel_index(voxels[order][first + size // 2], values.shape)
