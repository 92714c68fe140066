"""The voxel lattice of a patient, and the window of it that is simulated."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.phantom.collapse import Field
from fracture_vae.cohort.phantom.poses import Pose

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
        corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
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
