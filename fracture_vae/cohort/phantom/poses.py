"""Where each vertebra lies: the curve of the spine in the patient's world, healthy."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.phantom.anatomy import LEVELS, TILT, Vertebra
from fracture_vae.cohort.phantom.patient import Patient
from fracture_vae.cohort.phantom.streams import stream


class Pose(NamedTuple):
    """A vertebra's place: centre of its body (mm, RAS) and the rotation whose columns are u, v and w."""

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]


def draw_poses(patient: Patient, vertebrae: Mapping[str, Vertebra]) -> dict[str, Pose]:
    """Stack all levels from S2 upwards along the patient's curve, lordosis and kyphosis scaled apart.

    L5's body is centred at the world's origin.
    """
    random = stream(patient.seed, "patient", 1)
    phase = random.uniform(0, 2 * np.pi)
    jitter = random.normal(0, 0.8, (len(LEVELS), 3))
    middle = TILT[LEVELS.index("L1")]  # the inflection both curves hang on
    index = np.arange(len(LEVELS))
    scale = np.where(index < LEVELS.index("L1"), patient.kyphosis, patient.lordosis)
    tilt = middle + (TILT - middle) * scale + jitter[:, 0]
    tilt += random.normal(0, 2)
    side = patient.scoliosis * np.sin(2 * np.pi * index / 14 + phase) + 0.5 * jitter[:, 1]
    turn = 0.6 * side + 0.5 * jitter[:, 2]
    poses: dict[str, Pose] = {}
    top = np.zeros(3)
    up = np.array([0.0, 0.0, 1.0])
    for i in reversed(range(len(LEVELS))):
        vertebra = vertebrae[LEVELS[i]]
        axes = rotation(np.deg2rad(tilt[i]), np.deg2rad(side[i]), np.deg2rad(turn[i]))
        half = (vertebra.height_front + vertebra.height_back) / 4
        between = up + axes[:, 2]
        centre = top + vertebra.disc_below * between / np.linalg.norm(between) + half * axes[:, 2]
        poses[LEVELS[i]] = Pose(centre, axes)
        top, up = centre + half * axes[:, 2], axes[:, 2]
    origin = poses["L5"].centre
    return {level: Pose(poses[level].centre - origin, poses[level].axes) for level in LEVELS}


def rotation(tilt: float, side: float, turn: float) -> NDArray[np.float64]:
    """Rotate by ``tilt`` (axis leaning forward), then ``side`` (to the right), after a ``turn`` about the axis."""
    ct, st, cs, ss, cr, sr = np.cos(tilt), np.sin(tilt), np.cos(side), np.sin(side), np.cos(turn), np.sin(turn)
    forward = np.array([[1, 0, 0], [0, ct, st], [0, -st, ct]])
    right = np.array([[cs, 0, ss], [0, 1, 0], [-ss, 0, cs]])
    about = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(right @ forward @ about)
