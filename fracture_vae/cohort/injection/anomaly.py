"""One anomaly in one image: what is drawn, and what it does to the voxels. Lengths are mm."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from fracture_vae.errors import InputError

KINDS = ("deformation", "hypo", "hyper", "missing")
WAYS = ("shift", "swell", "shrink")

_RADIUS = (4.0, 9.0)
_LONGEST = 1.25  # most an ellipsoid's radius is longer or shorter than the mean
_RIPPLE = 0.15  # standard deviation of the surface's relative distance from the centre
_EDGE = 0.25  # share of the radius over which an anomaly fades out
_STRENGTH = {
    "shift": (0.35, 0.5),  # farthest displacement, by the radius
    "swell": (0.12, 0.18),
    "shrink": (0.12, 0.18),
    "hypo": (0.25, 0.5),  # change of intensity, by the image's range from its 1st to its 99th percentile
    "hyper": (0.25, 0.5),
    "missing": (0.6, 1.0),  # share of the tissue's contrast to the image's dark level that is lost
}
_VISIBLE = 0.25  # displacements below this are left out
_DARK = 5.0  # percentile of an image that missing tissue is replaced by
_TISSUE = 0.2  # of the range: an anomaly's centre lies in something at least this bright


@dataclass(frozen=True)
class Anomaly:
    """One anomaly as drawn; everything it does follows from this and the image."""

    kind: str
    way: str
    """Of a deformation: shift, swell or shrink; else empty."""
    centre: tuple[float, float, float]
    """Voxel."""
    radii: tuple[float, float, float]
    turn: tuple[float, float, float]
    """Rotation vector of the ellipsoid, radians."""
    direction: tuple[float, float, float]
    """Unit vector of a shift."""
    strength: float
    seed: int
    """Of the surface's ripple and of missing tissue's noise."""


class Injected(NamedTuple):
    """An image with an anomaly."""

    array: NDArray[np.float32]
    """(H, W, D); the image's own values outside ``truth``, and no value that the image does not hold."""
    truth: NDArray[np.bool_]
    """(H, W, D), where the anomaly is."""


def draw_anomaly(
    random: np.random.Generator, kind: str, array: NDArray[np.float32], spacing: NDArray[np.float64]
) -> Anomaly:
    """Draw an anomaly of a kind in the tissue of an image (H, W, D), wholly inside where the image is large enough.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in KINDS:
        raise InputError(f"anomaly '{kind}' is not one of {', '.join(KINDS)}")
    radius = random.uniform(*_RADIUS)
    stretch = np.exp(random.uniform(-1, 1, 3) * np.log(_LONGEST))
    radii = radius * stretch / np.cbrt(stretch.prod())
    direction = random.normal(size=3)
    way = str(random.choice(WAYS)) if kind == "deformation" else ""
    return Anomaly(
        kind=kind,
        way=way,
        centre=_centre(random, array, spacing, radius),
        radii=_three(radii),
        turn=_three(Rotation.random(random_state=random).as_rotvec()),
        direction=_three(direction / np.linalg.norm(direction)),
        strength=round(random.uniform(*_STRENGTH[way or kind]), 4),
        seed=int(random.integers(2**31)),
    )


def inject(array: NDArray[np.float32], spacing: NDArray[np.float64], anomaly: Anomaly) -> Injected:
    """Return an image (H, W, D) of any unit with the anomaly in it.

    ``hypo`` and ``hyper`` lower and raise intensity and keep the texture; ``missing`` fades tissue into the image's
    dark level; ``deformation`` moves, swells or shrinks what is there by a displacement that vanishes at the surface
    and folds nowhere.
    """
    random = np.random.default_rng(anomaly.seed)
    offset = (np.indices(array.shape).T - anomaly.centre) * spacing  # (D, W, H, 3), mm
    reach = _reach(offset, anomaly, spacing, random).T
    if anomaly.kind == "deformation":
        moved = _displacement(offset, reach, anomaly)
        truth = (reach < 1) & (np.linalg.norm(moved, axis=0) >= _VISIBLE)
        changed = _warped(array, moved, spacing)
    else:
        truth = reach < 1
        changed = _recoloured(array, reach, anomaly, random)
    return Injected(_known(np.where(truth, changed, array), array), truth)


def _centre(
    random: np.random.Generator, array: NDArray[np.float32], spacing: NDArray[np.float64], radius: float
) -> tuple[float, float, float]:
    low, high = np.percentile(array, [1, 99])
    tissue = gaussian_filter(array, 1.5 / spacing) >= low + _TISSUE * (high - low)
    margin = np.minimum(np.ceil(radius / spacing), (np.array(array.shape) - 1) // 2).astype(int)
    inner = tuple(slice(m, size - m) for m, size in zip(margin, array.shape, strict=True))
    places = np.argwhere(tissue[inner] if tissue[inner].any() else np.ones_like(tissue[inner]))
    return _three(places[random.integers(len(places))] + margin)


def _reach(
    offset: NDArray[np.float64], anomaly: Anomaly, spacing: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return (D, W, H): distance from the centre as a share of the way to the rippled surface."""
    turned = offset @ Rotation.from_rotvec(anomaly.turn).as_matrix() / np.array(anomaly.radii)
    noise = gaussian_filter(random.normal(size=offset.shape[:-1]), 0.5 * min(anomaly.radii) / spacing[::-1])
    return np.asarray(np.linalg.norm(turned, axis=-1) * np.exp(_RIPPLE * noise / noise.std()))


def _displacement(offset: NDArray[np.float64], reach: NDArray[np.float64], anomaly: Anomaly) -> NDArray[np.float64]:
    """Return (3, H, W, D), mm: where what is shown at a voxel comes from, seen from the voxel."""
    radius = min(anomaly.radii)
    fade = np.square(1 - np.square(np.minimum(reach, 1)))
    if anomaly.way == "shift":
        return np.asarray(-anomaly.strength * radius * fade * np.reshape(anomaly.direction, (3, 1, 1, 1)))
    # r (1 - r²)² is largest, 0.286, at r = 0.447
    sign = -1 if anomaly.way == "swell" else 1
    return np.asarray(sign * anomaly.strength / 0.286 * fade * offset.T)


def _warped(
    array: NDArray[np.float32], moved: NDArray[np.float64], spacing: NDArray[np.float64]
) -> NDArray[np.float32]:
    places = np.indices(array.shape) + moved / spacing.reshape(3, 1, 1, 1)
    return np.asarray(map_coordinates(array, places, order=3, mode="nearest"), dtype=np.float32)


def _recoloured(
    array: NDArray[np.float32], reach: NDArray[np.float64], anomaly: Anomaly, random: np.random.Generator
) -> NDArray[np.float32]:
    low, dark, high = np.percentile(array, [1, _DARK, 99])
    inwards = np.clip((1 - reach) / _EDGE, 0, 1)
    weight = anomaly.strength * inwards**2 * (3 - 2 * inwards)
    if anomaly.kind == "missing":
        grain = random.normal(0, _noise(array), array.shape)
        return np.asarray(array + weight * (dark + grain - array), dtype=np.float32)
    sign = 1 if anomaly.kind == "hyper" else -1
    return np.asarray(array + sign * weight * (high - low), dtype=np.float32)


def _noise(array: NDArray[np.float32]) -> float:
    """Return the noise's standard deviation: the median absolute second difference, as of normal noise."""
    second = np.abs(np.diff(array, 2, axis=0))
    return float(np.median(second) / 0.6745 / np.sqrt(6))


def _known(changed: NDArray[np.float32], array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each value as the nearest one of the image's own, so that no odd value gives an anomaly away."""
    values = np.unique(array)
    above = np.clip(np.searchsorted(values, changed), 1, len(values) - 1)
    lower, upper = values[above - 1], values[above]
    return np.where(changed - lower <= upper - changed, lower, upper)


def _three(values: NDArray[np.generic]) -> tuple[float, float, float]:
    a, b, c = (round(float(value), 4) for value in values)
    return a, b, c
