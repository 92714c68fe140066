"""Finds the collapse that measures as asked: in the body as a continuum, and in the voxels of the scan."""

import numpy as np
from scipy import ndimage

from fracture_vae.cohort.fracture.collapse import Collapse
from fracture_vae.cohort.fracture.frame import Array, Body, Mask
from fracture_vae.cohort.fracture.heights import measure
from fracture_vae.cohort.fracture.parameters import Parameters
from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Heights

_CLOSE = 0.002  # how near the continuum's loss comes to the one wanted
_TRIES = 10  # to come so near
_STEPS = np.array([0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 8, -8, 10, -10]) * 0.004
_TELLING = 0.75  # the other heights of a wedge or biconcave fracture lose at most this part of the measured loss
_MIDDLE = 9.0  # mm on each side of the midline that heights are read from


def solved(own: Mask, affine: Array, body: Body, parameters: Parameters, before: Heights) -> Collapse | None:
    """Return the collapse whose measured loss is the one drawn, or near it; None where none measures as it should.

    Heights in voxels change in jumps (of up to half a voxel, where a flat endplate lies along the slices), so that a
    loss may measure in its grade's range in the continuum and outside it in the scan. Then the losses around it are
    tried.

    Args:
        own: (H, W, D), the healthy vertebra.
        affine: (4, 4), voxels to world millimetres.
        body: its body.
        parameters: the fracture as drawn; a crush loses the same share of all three heights.
        before: its healthy heights (mm).
    """
    low, high = GRADE_LOSS[parameters.grade]
    site = TYPES.index(parameters.type)
    wanted = [0, 1, 2] if parameters.type == "crush" else [site]
    voxels = _Voxels(own, affine, body)
    for step in _STEPS:
        loss = float(np.clip(parameters.loss + step, low + 0.006, high - 0.006))
        collapse = _continuous(own, affine, body, parameters, before, wanted, loss)
        there = 1 - np.array(voxels.measured(collapse)) / before
        others = np.delete(there, site).max()
        if low + _CLOSE < there[site] < high - _CLOSE and (len(wanted) > 1 or others < _TELLING * there[site]):
            return collapse
    return None


def _continuous(
    own: Mask, affine: Array, body: Body, parameters: Parameters, before: Heights, wanted: list[int], loss: float
) -> Collapse:
    depths = loss * np.array(before)
    for _ in range(_TRIES):
        collapse = Collapse(body, parameters, Heights(*depths.tolist()))
        off = np.zeros(3)
        off[wanted] = (loss - 1 + np.array(measure(own, affine, body, collapse.source_of)) / before)[wanted]
        if np.abs(off).max() < _CLOSE:
            break
        depths = np.clip(depths + off * before, 0.1, 0.9 * np.array(before))
    return collapse


class _Voxels:
    """Measures a collapse in the voxels of the scan, the few near the body's midline."""

    def __init__(self, own: Mask, affine: Array, body: Body) -> None:
        found = ndimage.find_objects(own.astype(np.uint8))[0]
        self._bone = np.pad(own[found].astype(np.float32), 3)
        self._affine = affine.copy()
        self._affine[:3, 3] += affine[:3, :3] @ (np.array([part.start for part in found]) - 3)
        self._inverse = np.linalg.inv(self._affine)
        self._body = body
        index = np.indices(self._bone.shape).reshape(3, -1)
        points = body.frame.to_own(self._affine[:3, :3] @ index + self._affine[:3, 3:])
        self._near = (np.abs(points[0]) < _MIDDLE) & (np.abs(points[1]) < 1.3 * body.half_depth)
        self._points = points[:, self._near]

    def measured(self, collapse: Collapse) -> Heights:
        source = self._body.frame.to_world(collapse.source_of(self._points))
        index = self._inverse[:3, :3] @ source + self._inverse[:3, 3:]
        mask = np.zeros(self._bone.size, bool)
        mask[self._near] = ndimage.map_coordinates(self._bone, index, order=1) > 0.5
        return measure(mask.reshape(self._bone.shape), self._affine, self._body)
