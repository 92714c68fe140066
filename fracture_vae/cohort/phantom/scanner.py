"""How a CT was taken: tube voltage, field of view, kernel, slice thickness and noise.

Set by hand to what clinical spine and body CTs commonly have. A sharp kernel is a narrow point spread with edge
enhancement, which brings dark rims and strong, fine noise.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_BONE_GAIN = {80: 1.25, 100: 1.12, 120: 1.0, 140: 0.94}  # HU of bone and iodine relative to 120 kV, rounded
_MATRIX = 512  # pixels across a field of view


class _Kernel(NamedTuple):
    share: float  # how often it is used
    blur: tuple[float, float]  # σ in the plane, mm
    edge: tuple[float, float]  # how much of the unsharp mask is added
    noise: float  # relative to the standard kernel at the same dose


_KERNELS = {
    "soft": _Kernel(0.3, (0.6, 0.8), (0.0, 0.0), 0.7),
    "standard": _Kernel(0.4, (0.45, 0.6), (0.0, 0.3), 1.0),
    "sharp": _Kernel(0.3, (0.3, 0.4), (0.5, 1.3), 1.6),
}
_THICKNESS = {0.6: 0.15, 0.75: 0.15, 1.0: 0.3, 1.5: 0.15, 2.0: 0.15, 3.0: 0.1}  # mm: how often


@dataclass(frozen=True)
class Scanner:
    """How a CT was taken and reconstructed."""

    kilovolts: int
    field_of_view: float
    """mm; 512 pixels across."""
    kernel: str
    blur: float
    """σ of the point spread in the plane, pixel included, mm."""
    edge: float
    """Edge enhancement: how much of the unsharp mask is added."""
    thickness: float
    """Of a slice, mm; below 1 mm a slice is drawn 1 mm thick, as the lattice is no finer."""
    increment: float
    """From slice to slice, mm."""
    noise: float
    """Standard deviation in HU at 1 mm voxels."""

    @property
    def bone_gain(self) -> float:
        """HU of bone and iodine relative to 120 kV."""
        return _BONE_GAIN[self.kilovolts]


def draw_scanner(random: np.random.Generator) -> Scanner:
    """Draw how a CT was taken."""
    kilovolts = int(random.choice(list(_BONE_GAIN), p=[0.08, 0.22, 0.6, 0.1]))
    kernel = str(random.choice(list(_KERNELS), p=[k.share for k in _KERNELS.values()]))
    thickness = float(random.choice(list(_THICKNESS), p=list(_THICKNESS.values())))
    field_of_view = random.uniform(160, 480)
    blur = math.hypot(random.uniform(*_KERNELS[kernel].blur), field_of_view / _MATRIX / math.sqrt(12))
    noise = _KERNELS[kernel].noise * random.lognormal(math.log(24), 0.4)
    return Scanner(
        kilovolts=kilovolts,
        field_of_view=field_of_view,
        kernel=kernel,
        blur=blur,
        edge=random.uniform(*_KERNELS[kernel].edge),
        thickness=thickness,
        increment=max(1.0, thickness * random.choice([0.7, 1.0])),
        noise=float(np.clip(noise, 8, 90)),
    )
