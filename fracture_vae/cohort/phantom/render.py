"""From signed distances to grey: compositing of bone with partial volume over soft tissue and discs."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.phantom.anatomy import Vertebra
from fracture_vae.cohort.phantom.arch import roughen
from fracture_vae.cohort.phantom.collapse import Collapse, Field
from fracture_vae.cohort.phantom.density import body_density, changed, texture_index, trabecular_texture
from fracture_vae.cohort.phantom.grid import Grid, Slices
from fracture_vae.cohort.phantom.patient import Patient
from fracture_vae.cohort.phantom.poses import Pose
from fracture_vae.cohort.phantom.shape import Plate, body, side_wall, smooth_min

_FAR = np.float32(9)  # distance (mm) where nothing has been drawn
_JOINT = np.float32(1.1)  # width of the gap (mm) kept between two bones
_POSTERIOR_WALL = np.float32(1.4)  # cortical thickness (mm) of arch and processes
_RIB_WALL = np.float32(0.9)  # and of ribs
_CREASE = 2.5  # mm over which two processes flow into each other


class Bone(NamedTuple):
    """A vertebra in its place, broken or not."""

    vertebra: Vertebra
    pose: Pose
    collapse: Collapse | None = None


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


def paint_disc(canvas: Canvas, above: Vertebra, vertebra: Vertebra, pose: Pose) -> None:
    """Fill the column of a body and its neighbouring disc spaces with disc; bone is drawn over it.

    The disc between ``above`` and ``vertebra`` shows as it is worn, with gas where it has any.
    """
    half, disc, gap = max(vertebra.height_front, vertebra.height_back) / 2, above.disc, above.disc_below
    reach = np.array([1.15 * max(vertebra.half_width), 1.15 * max(vertebra.half_depth), half])
    upwards = np.array([0, 0, 1.0])
    part = canvas.grid.around(pose, -reach - upwards * (vertebra.disc_below + 1), reach + upwards * (gap + 1))
    if part is None:
        return
    u, v, w = canvas.grid.local(pose, part)
    rho = np.clip(w / half, -1, 1)
    distance = side_wall(vertebra, None, u, v, np.asarray(rho, np.float32)) - np.float32(0.8)
    limits = np.maximum(w - (half + gap + 1), -w - (half + vertebra.disc_below + 1))
    inside = _coverage(np.maximum(distance, limits), canvas.grid.spacing)
    nucleus = np.clip(-distance / 8, 0, 1)
    region = canvas.ct[part]
    region += inside * (disc.grey + 25 * (1 - nucleus) - region)
    if disc.gas:
        sheet = np.exp(-(((w - half - gap / 2) / 1.1) ** 2)) * np.clip(nucleus * 2 - 0.6, 0, 1)
        aside = np.exp(-(((u / np.float32(vertebra.width) - disc.side) / 0.45) ** 2))
        region -= np.float32(disc.gas) * sheet * aside


def paint_vertebra(canvas: Canvas, patient: Patient, bone: Bone, plates: Sequence[Plate], label: int) -> None:
    """Draw one vertebra, keeping a joint space to bone that is already there; ``label`` 0 leaves it unlabelled."""
    vertebra, pose = bone.vertebra, bone.pose
    boxes = [plate.bounds() for plate in plates]
    size = np.array([1.25 * max(vertebra.half_width), 1.3 * max(vertebra.half_depth), 0.0])
    size[2] = max(vertebra.height_front, vertebra.height_back) / 2
    boxes.append((-size, size))
    low, high = np.min([b[0] for b in boxes], 0) - 3, np.max([b[1] for b in boxes], 0) + 3
    whole = canvas.grid.around(pose, low, high)
    if whole is None:
        return
    texture = trabecular_texture(patient, vertebra, canvas.grid.spacing)
    posterior, grey = _arch(canvas.grid, vertebra, pose, plates, whole, texture)
    distance = posterior.copy()
    inner = canvas.grid.around(pose, -size - 3, size + 3)
    if inner is not None:
        inside = _within(inner, whole)
        coordinates = canvas.grid.local(pose, inner)
        drawn = body(vertebra, bone.collapse, *coordinates)
        spongy = body_density(patient, vertebra, bone.collapse, drawn, coordinates, texture)
        grey[inside] = np.where(drawn.distance < posterior[inside], spongy, grey[inside])
        distance[inside] = np.minimum(distance[inside], drawn.distance)
        if bone.collapse is not None and label:
            canvas.truth[inner][changed(vertebra, bone.collapse, drawn, coordinates)] = label
    wall = np.where(posterior < distance + 1e-3, _POSTERIOR_WALL, np.float32(vertebra.wall))
    _composite(canvas, patient, whole, distance, wall, grey, label)


def paint_ribs(canvas: Canvas, patient: Patient, bone: Bone, plates: Iterable[Plate]) -> None:
    """Draw the unlabelled ribs of a vertebra."""
    for plate in plates:
        low, high = plate.bounds()
        part = canvas.grid.around(bone.pose, low - 3, high + 3)
        if part is None:
            continue
        distance = plate.distance(*canvas.grid.local(bone.pose, part))
        grey = np.full(distance.shape, np.float32(bone.vertebra.density))
        _composite(canvas, patient, part, distance, np.full_like(distance, _RIB_WALL), grey, 0)


def _arch(
    grid: Grid, vertebra: Vertebra, pose: Pose, plates: Sequence[Plate], whole: Slices, texture: Field
) -> tuple[Field, Field]:
    """Distance to everything behind the body, and the HU of its spongy bone, which is dense and uneven."""
    nearest = _nearest(grid, pose, plates, whole)
    close = nearest < 4
    u, v, w = (axis[close] for axis in grid.local(pose, whole))
    nearest[close] += roughen(vertebra, u, v, w)
    grey = np.full(nearest.shape, np.float32(vertebra.density + 170))
    grey[close] += 90 * ndimage.map_coordinates(texture, texture_index(u, v, w), order=1, mode="grid-wrap")
    return nearest, grey


def _nearest(grid: Grid, pose: Pose, plates: Sequence[Plate], whole: Slices) -> Field:
    nearest = np.full([s.stop - s.start for s in whole], _FAR)
    for plate in plates:
        low, high = plate.bounds()
        part = grid.around(pose, low - 3, high + 3)
        if part is not None:
            inside = _within(part, whole)
            nearest[inside] = smooth_min(nearest[inside], plate.distance(*grid.local(pose, part)), _CREASE)
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
