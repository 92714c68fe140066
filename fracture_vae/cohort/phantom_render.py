"""From signed distances to a CT: grid, compositing of bone with partial volume, scanner blur and noise."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.phantom_anatomy import Patient, Pose, Vertebra, stream
from fracture_vae.cohort.phantom_fracture import Collapse, sink
from fracture_vae.cohort.phantom_shape import Body, Field, Plate, body, side_wall

_FAR = np.float32(9)  # distance (mm) where nothing has been drawn
_JOINT = np.float32(1.1)  # width of the gap (mm) kept between two bones
_POSTERIOR_WALL = np.float32(1.3)  # cortical thickness (mm) of arch, processes and ribs
_BLOCK = (64, 48, 48)  # texture block, one value a mm along u, v and w
_SLICES_BELOW = 100_000  # keeps the stream index of a slice positive

Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Grid:
    """A window of the patient's voxel lattice: voxel (i, j, k) lies at (start + (i, j, k)) · spacing mm in RAS."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    spacing: float

    def axis(self, dim: int, part: slice = slice(None)) -> Field:
        """Coordinates (mm) of the voxel centres along one axis."""
        return ((np.arange(self.shape[dim])[part] + self.start[dim]) * self.spacing).astype(np.float32)

    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to millimetres, RAS+."""
        matrix = np.diag([self.spacing] * 3 + [1.0])
        matrix[:3, 3] = np.array(self.start) * self.spacing
        return matrix

    def around(self, pose: Pose, low: NDArray[np.float64], high: NDArray[np.float64]) -> Slices | None:
        """Voxels that may hold the box ``low`` … ``high`` of a vertebra's frame, or None if it lies outside."""
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        world = pose.centre + corners @ pose.axes.T
        first = np.floor(world.min(0) / self.spacing).astype(int) - np.array(self.start)
        last = np.ceil(world.max(0) / self.spacing).astype(int) + 1 - np.array(self.start)
        first, last = np.clip(first, 0, self.shape), np.clip(last, 0, self.shape)
        if np.any(last <= first):
            return None
        return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])

    def local(self, pose: Pose, part: Slices) -> tuple[Field, Field, Field]:
        """Coordinates (u, v, w) of some voxels in a vertebra's frame."""
        x = (self.axis(0, part[0]) - np.float32(pose.centre[0]))[:, None, None]
        y = (self.axis(1, part[1]) - np.float32(pose.centre[1]))[None, :, None]
        z = (self.axis(2, part[2]) - np.float32(pose.centre[2]))[None, None, :]
        axes = pose.axes.astype(np.float32)
        u, v, w = (x * axes[0, i] + y * axes[1, i] + z * axes[2, i] for i in range(3))
        return u, v, w


class Canvas(NamedTuple):
    """What is drawn on: CT (HU), labels, truth, and the distance (mm) to the nearest bone drawn so far."""

    grid: Grid
    ct: Field
    mask: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    bone: Field


def new_canvas(grid: Grid, ct: Field) -> Canvas:
    """Start from the soft tissue in ``ct``."""
    zeros = np.zeros(grid.shape, np.uint8)
    return Canvas(grid, ct, zeros, zeros.copy(), np.full(grid.shape, _FAR))


def paint_disc(canvas: Canvas, vertebra: Vertebra, pose: Pose, above: float) -> None:
    """Fill the column of a body and its neighbouring disc spaces with disc (60–100 HU); bone is drawn over it."""
    half = max(vertebra.height_front, vertebra.height_back) / 2
    reach = np.array([1.15 * max(vertebra.half_width), 1.15 * max(vertebra.half_depth), half])
    gap = np.array([0, 0, 1.0])
    part = canvas.grid.around(pose, -reach - gap * (vertebra.disc_below + 1), reach + gap * (above + 1))
    if part is None:
        return
    u, v, w = canvas.grid.local(pose, part)
    rho = np.clip(w / half, -1, 1)
    distance = side_wall(vertebra, None, u, v, np.asarray(rho, np.float32)) - np.float32(0.8)
    limits = np.maximum(w - (half + above + 1), -w - (half + vertebra.disc_below + 1))
    inside = _coverage(np.maximum(distance, limits), canvas.grid.spacing)
    nucleus = np.clip(-distance / 8, 0, 1)
    region = canvas.ct[part]
    region += inside * (95 - 25 * nucleus - region)


def paint_vertebra(
    canvas: Canvas, patient: Patient, vertebra: Vertebra, pose: Pose, parts: Iterable[Plate],
    collapse: Collapse | None, label: int,
) -> None:  # fmt: skip
    """Draw one vertebra, keeping a joint space to bone that is already there; ``label`` 0 leaves it unlabelled."""
    plates = list(parts)
    boxes = [plate.bounds() for plate in plates]
    size = np.array([1.25 * max(vertebra.half_width), 1.3 * max(vertebra.half_depth), 0.0])
    size[2] = max(vertebra.height_front, vertebra.height_back) / 2
    boxes.append((-size, size))
    low, high = np.min([b[0] for b in boxes], 0) - 3, np.max([b[1] for b in boxes], 0) + 3
    whole = canvas.grid.around(pose, low, high)
    if whole is None:
        return
    shape = tuple(s.stop - s.start for s in whole)
    posterior = _plates_distance(canvas.grid, pose, plates, whole, shape)
    distance = posterior.copy()
    grey = np.full(shape, np.float32(vertebra.density + 90))
    inner = canvas.grid.around(pose, -size - 3, size + 3)
    if inner is not None:
        inside = _within(inner, whole)
        coordinates = canvas.grid.local(pose, inner)
        drawn = body(vertebra, collapse, *coordinates)
        distance[inside] = np.minimum(distance[inside], drawn.distance)
        grey[inside] = _trabecular(patient, vertebra, collapse, drawn, coordinates, canvas.grid.spacing)
        if collapse is not None and label:
            canvas.truth[inner] |= _truth(vertebra, collapse, drawn, coordinates)
    wall = np.where(posterior < distance + 1e-3, _POSTERIOR_WALL, np.float32(vertebra.wall))
    _composite(canvas, patient, whole, distance, wall, grey, label)


def paint_ribs(canvas: Canvas, patient: Patient, vertebra: Vertebra, pose: Pose, plates: Iterable[Plate]) -> None:
    """Draw unlabelled ribs."""
    for plate in plates:
        low, high = plate.bounds()
        part = canvas.grid.around(pose, low - 3, high + 3)
        if part is None:
            continue
        distance = plate.distance(*canvas.grid.local(pose, part))
        grey = np.full(distance.shape, np.float32(vertebra.density))
        _composite(canvas, patient, part, distance, np.full_like(distance, 0.9), grey, 0)


def _plates_distance(grid: Grid, pose: Pose, plates: list[Plate], whole: Slices, shape: tuple[int, ...]) -> Field:
    nearest = np.full(shape, _FAR)
    for plate in plates:
        low, high = plate.bounds()
        part = grid.around(pose, low - 3, high + 3)
        if part is not None:
            inside = _within(part, whole)
            nearest[inside] = np.minimum(nearest[inside], plate.distance(*grid.local(pose, part)))
    return nearest


def _within(part: Slices, whole: Slices) -> Slices:
    first, second, third = (slice(p.start - w.start, p.stop - w.start) for p, w in zip(part, whole, strict=True))
    return first, second, third


def _coverage(distance: Field, spacing: float) -> Field:
    """Fraction of a voxel inside a surface at this signed distance from its centre."""
    return np.asarray(np.clip(0.5 - distance / np.float32(spacing), 0, 1), np.float32)


def _composite(
    canvas: Canvas, patient: Patient, part: Slices, distance: Field, wall: Field, grey: Field, label: int
) -> None:
    """Lay bone over what is there: cortex ``wall`` mm thick, ``grey`` (HU) within; partial volume at both faces."""
    before = canvas.bone[part]
    distance = np.maximum(distance, _JOINT - before)
    outer = _coverage(distance, canvas.grid.spacing)
    touched = np.nonzero(outer)
    outer = outer[touched]
    inner = _coverage(distance[touched] + wall[touched], canvas.grid.spacing)
    under = canvas.ct[part][touched]
    value = under * (1 - outer) + grey[touched] * inner + np.float32(patient.cortical) * (outer - inner)
    canvas.ct[part][touched] = value
    np.minimum(before, distance, out=before)
    if label:
        canvas.mask[part][distance < 0] = label


def _trabecular(
    patient: Patient, vertebra: Vertebra, collapse: Collapse | None, drawn: Body,
    coordinates: tuple[Field, Field, Field], spacing: float,
) -> Field:  # fmt: skip
    """HU of the spongy bone: denser towards endplates and back, threaded vertically, packed under a fracture."""
    u, v, _ = coordinates
    height = np.maximum(drawn.under_upper + drawn.over_lower, 1)
    rho = (drawn.over_lower - drawn.under_upper) / height
    edge = np.minimum(np.minimum(drawn.under_upper, drawn.over_lower), 6)
    grey = np.float32(vertebra.density) * (1.12 - 0.03 * edge - 0.08 * v / np.float32(vertebra.depth))
    # the plates of the endplates are thicker than the walls: what the shell lacks is added as a dense skin
    skin = np.float32(max(vertebra.endplate - vertebra.wall, 0.0) + 0.5)
    grey += np.float32(0.35 * patient.cortical) * np.clip(1.5 * skin - edge + np.float32(vertebra.wall), 0, skin)
    inside = drawn.distance < 0
    where = [u[inside] + 32, v[inside] + 24, rho[inside] * np.float32(vertebra.height_back / 2) + 24]
    texture = ndimage.map_coordinates(_texture(patient, vertebra, spacing), where, order=1, mode="grid-wrap")
    grey[inside] += 0.16 * (vertebra.density + 80) * texture
    grey -= 110 * np.exp(-((u / 3.0) ** 2) - ((rho * height / 2) / 2.2) ** 2 - ((v + vertebra.depth - 3) / 6) ** 2)
    if collapse is not None:
        packed = _impacted(vertebra, collapse, drawn, coordinates)
        grey += packed * np.float32(collapse.sclerosis + 0.6 * vertebra.density)
    return np.asarray(np.maximum(grey, -60), np.float32)


def _texture(patient: Patient, vertebra: Vertebra, spacing: float) -> Field:
    """Correlated unit-variance noise (at 1 mm), longer along the body's axis, as trabeculae are."""
    random = stream(patient.seed, "texture", vertebra.index)
    fine = ndimage.gaussian_filter(random.standard_normal(_BLOCK, np.float32), (0.7, 0.7, 1.3), mode="wrap")
    coarse = ndimage.gaussian_filter(random.standard_normal(_BLOCK, np.float32), 3.0, mode="wrap")
    block = 0.85 * fine / fine.std() + 0.5 * coarse / coarse.std()
    if spacing > 1:
        block = ndimage.gaussian_filter(block, 0.4 * spacing, mode="wrap")
    return np.asarray(block, np.float32)


def _impacted(vertebra: Vertebra, collapse: Collapse, drawn: Body, coordinates: tuple[Field, Field, Field]) -> Field:
    """How strongly (0–1) spongy bone is packed: within ``band`` mm of an endplate that sank more than 1 mm."""
    u, v, _ = coordinates
    lost = sink(vertebra, collapse, u, v)
    strength = np.zeros_like(lost)
    shares = ((collapse.upper_share, drawn.under_upper), (1 - collapse.upper_share, drawn.over_lower))
    for share, depth in shares:
        near = np.clip((np.float32(collapse.band) - depth) / np.float32(0.5 * collapse.band), 0, 1)
        strength = np.maximum(strength, near * np.clip(share * lost - 1, 0, 2) / 2)
    return np.asarray(strength, np.float32)


def _truth(
    vertebra: Vertebra, collapse: Collapse, drawn: Body, coordinates: tuple[Field, Field, Field]
) -> NDArray[np.uint8]:
    healthy = body(vertebra, None, *coordinates).distance < 0
    broken = drawn.distance < 0
    packed = broken & (_impacted(vertebra, collapse, drawn, coordinates) > 0.25)
    return ((healthy != broken) | packed).astype(np.uint8)


def scan(canvas: Canvas, patient: Patient) -> Field:
    """Blur the drawn CT as a scanner does, and add its noise; the first and last two slices keep an edge effect."""
    grid = canvas.grid
    sigma = patient.blur / grid.spacing
    ct = ndimage.gaussian_filter(canvas.ct, (sigma, sigma, 0.8 * sigma), truncate=3, mode="nearest")
    noise = np.empty(grid.shape, np.float32)
    for k in range(grid.shape[2]):
        random = stream(patient.seed, "noise", grid.start[2] + k + _SLICES_BELOW)
        noise[:, :, k] = random.standard_normal(grid.shape[:2], np.float32)
    soft = (0.6, 0.6, 0.4)
    noise = ndimage.gaussian_filter(noise, soft, truncate=3, mode="wrap")
    gain = np.float32(patient.noise / (_gain(soft) * grid.spacing))
    ct += gain * noise
    return np.asarray(ct, np.float32)


def _gain(sigmas: tuple[float, ...]) -> float:
    """Standard deviation that a Gaussian filter leaves of white noise of unit variance."""
    gain = 1.0
    for sigma in sigmas:
        kernel = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
        gain *= float(np.sqrt(np.sum((kernel / kernel.sum()) ** 2)))
    return gain
