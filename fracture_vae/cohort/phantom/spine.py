"""A synthetic CT of the thoracolumbar spine whose every vertebra, and every fracture, is known.

The whole patient, T1 to S2, exists in millimetres and follows from the seed alone; a simulation is a window on it.
So a level of a seed looks the same whichever levels are asked for, and a fracture changes the broken
body, lets the vertebrae above it settle, and changes nothing else.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.genant import Fracture, Heights
from fracture_vae.cohort.phantom.anatomy import (
    ASKABLE,
    LEVELS,
    Vertebra,
    draw_vertebra,
    label_of,
)
from fracture_vae.cohort.phantom.arch import posterior_parts, rib_parts
from fracture_vae.cohort.phantom.collapse import RIM, Collapse, draw_collapse, healthy_heights, heights, sink
from fracture_vae.cohort.phantom.grid import Grid
from fracture_vae.cohort.phantom.patient import Patient, draw_patient
from fracture_vae.cohort.phantom.poses import Pose, draw_poses, rotation
from fracture_vae.cohort.phantom.render import Bone, new_canvas, paint_disc, paint_ribs, paint_vertebra
from fracture_vae.cohort.phantom.scan import REACH, scan
from fracture_vae.cohort.phantom.tissue import soft_tissue
from fracture_vae.errors import InputError, nearest

_REACH = 74.0  # mm shown on all sides of the asked bodies' centres, so that a 128 mm crop around each is inside
_FOLLOW = 0.8  # how much of a fracture's loss the next vertebra above follows; the discs take up the rest
_FADE = 0.65  # and how this fades with every further level


class Phantom(NamedTuple):
    """A simulated CT and what is known about it.

    Attributes:
        ct: (H, W, D) float32, HU; axes run to the right, anterior and superior (RAS+).
        mask: (H, W, D) uint8, VerSe labels of the asked levels only (8–19 T1–T12, 20–24 L1–L5), 0 elsewhere;
            the neighbours and ribs are in the CT without a label.
        truth: (H, W, D) uint8, the broken level's label where a fracture changed its body: voxels inside either the
            healthy or the broken body but not both (lost height, bulging walls), and the impacted spongy bone under
            a sunken endplate. The vertebra above may have settled into lost height; that is still marked. Discs,
            posterior elements and the neighbours' new places are not.
        affine: (4, 4) float64, voxel indices to mm, RAS+.
        heights: by asked level, heights (mm) of the final body in its mid-sagittal plane, endplate to endplate.
        healthy_heights: the same before any fracture.
        patient: what the vertebrae share, and the scanner.
        collapses: by broken level, the fracture as drawn.
    """

    ct: NDArray[np.float32]
    mask: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    affine: NDArray[np.float64]
    heights: dict[str, Heights]
    healthy_heights: dict[str, Heights]
    patient: Patient
    collapses: dict[str, Collapse]


def simulate_spine(
    seed: int, levels: Sequence[str], fractures: Mapping[str, Fracture] | None = None, spacing: float = 1.0
) -> Phantom:
    """Simulate the CT of one patient's consecutive ``levels`` (any order; T4 … L5) and what surrounds them.

    Args:
        seed: the patient; a non-negative integer. Nothing else is random.
        levels: consecutive level names, for example ``("T12", "L1", "L2")``.
        fractures: by level, which of the asked levels are broken and how.
        spacing: isotropic voxel size in mm, 0.5 to 4.

    Raises:
        InputError: unknown, repeated or non-consecutive levels, a fracture at a level not asked for, a spacing or
            seed out of range.
    """
    broken = dict(fractures or {})
    asked = _check(seed, levels, broken, spacing)
    patient = draw_patient(seed)
    vertebrae = {level: draw_vertebra(patient, level) for level in LEVELS}
    collapses = {level: draw_collapse(seed, vertebrae[level], broken[level]) for level in asked if level in broken}
    healthy = draw_poses(patient, vertebrae)
    grid = _window(healthy, asked, spacing)
    poses = _settle(vertebrae, healthy, collapses)
    canvas = new_canvas(grid, soft_tissue(grid, patient, vertebrae, poses))
    for level, below in itertools.pairwise(LEVELS):
        paint_disc(canvas, vertebrae[level], vertebrae[below], poses[below])
    bones = {level: Bone(vertebrae[level], poses[level], collapses.get(level)) for level in LEVELS}
    for level in reversed(LEVELS):
        parts = list(posterior_parts(vertebrae[level], _drop(vertebrae[level], collapses.get(level))))
        paint_vertebra(canvas, patient, bones[level], parts, label_of(level) if level in asked else 0)
    for level in LEVELS[:12]:
        paint_ribs(canvas, patient, bones[level], rib_parts(vertebrae[level]))
    margin = _margin(spacing)
    inner = slice(margin, -margin)
    affine = grid.affine()
    affine[2, 3] += margin * spacing
    return Phantom(
        np.ascontiguousarray(scan(canvas.ct, grid, patient.scanner, seed)[:, :, inner]),
        np.ascontiguousarray(canvas.mask[:, :, inner]),
        np.ascontiguousarray(canvas.truth[:, :, inner]),
        affine,
        {level: heights(vertebrae[level], collapses.get(level)) for level in asked},
        {level: healthy_heights(vertebrae[level]) for level in asked},
        patient,
        collapses,
    )


def _check(seed: int, levels: Sequence[str], fractures: Mapping[str, Fracture], spacing: float) -> tuple[str, ...]:
    """Return the levels from top to bottom, or say what is wrong."""
    if seed < 0:
        raise InputError(f"seed {seed} is negative; use 0 or more")
    if not 0.5 <= spacing <= 4:
        raise InputError(f"spacing {spacing} mm is out of range; use 0.5 to 4")
    for level in levels:
        if level not in ASKABLE:
            raise InputError(f"level '{level}' can't be simulated{nearest(level, ASKABLE)}; use T4 … T12, L1 … L5")
    index = sorted(LEVELS.index(level) for level in levels)
    if not index or index != list(range(index[0], index[0] + len(index))):
        raise InputError(f"levels {', '.join(levels) or '(none)'} are not consecutive; name each once, without gaps")
    for level in fractures:
        if level not in levels:
            raise InputError(f"fracture at '{level}', which is not among the simulated levels; add it or drop it")
    return tuple(LEVELS[i] for i in index)


def _window(poses: Mapping[str, Pose], asked: Sequence[str], spacing: float) -> Grid:
    """The patient's full width and depth, and the height of the asked levels, on the patient's lattice."""
    every = np.array([poses[level].centre for level in ASKABLE])
    shown = np.array([poses[level].centre for level in asked])
    low = np.array([every[:, 0].min(), every[:, 1].min(), shown[:, 2].min()]) - _REACH
    high = np.array([every[:, 0].max(), every[:, 1].max(), shown[:, 2].max()]) + _REACH
    low[1] -= 16  # the posterior elements pull a vertebra's centre of mass behind its body's
    first, last = np.floor(low / spacing).astype(int), np.ceil(high / spacing).astype(int)
    first[2] -= _margin(spacing)
    last[2] += _margin(spacing)
    shape = last - first + 1
    return Grid((int(first[0]), int(first[1]), int(first[2])), (int(shape[0]), int(shape[1]), int(shape[2])), spacing)


def _margin(spacing: float) -> int:
    """Slices drawn beyond both ends and cut off, so that the scan has no edge."""
    return math.ceil(REACH / spacing)


def _settle(
    vertebrae: Mapping[str, Vertebra], poses: Mapping[str, Pose], collapses: Mapping[str, Collapse]
) -> dict[str, Pose]:
    """Let what stands on a broken body come down and tilt about its back edge, less with every level."""
    settled = dict(poses)
    for level, collapse in collapses.items():
        vertebra = vertebrae[level]
        v = np.array([RIM, -RIM], np.float32) * np.float32(vertebra.depth)
        front, back = collapse.upper_share * sink(vertebra, collapse, np.zeros_like(v), v)
        tilt, fall = float(np.arctan2(front - back, v[0] - v[1])), float(back)
        centre, axes = settled[level]
        hinge = centre + axes @ np.array([0.0, v[1], vertebra.height_back / 2])
        follow = _FOLLOW
        for above in reversed(LEVELS[: vertebra.index]):
            turn = axes @ rotation(follow * tilt, 0.0, 0.0) @ axes.T
            pose = settled[above]
            moved = hinge + turn @ (pose.centre - hinge) - follow * fall * axes[:, 2]
            settled[above] = Pose(moved, turn @ pose.axes)
            follow *= _FADE
    return settled


def _drop(vertebra: Vertebra, collapse: Collapse | None) -> float:
    """How far the posterior elements come down with the back of their body (mm)."""
    if collapse is None:
        return 0.0
    back = np.full(1, -RIM * vertebra.depth, np.float32)
    lost = sink(vertebra, collapse, np.zeros(1, np.float32), back)
    return 0.6 * collapse.upper_share * float(lost[0])
