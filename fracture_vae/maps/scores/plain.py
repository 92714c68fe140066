"""Scores of the image alone, which a learned one must beat."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.scores.base import Score
from fracture_vae.maps.scores.seen import Seen
from fracture_vae.registry import SCORES


@SCORES.add_def("intensity", "the image's own normalised intensity, or 1 - it for sign -1")
@dataclass(frozen=True)
class Intensity(Score):
    """x: bright is abnormal; with ``sign`` -1 dark is.

    Raises:
        InputError: for another sign.
    """

    uses_reconstruction: ClassVar[bool] = False
    display_max: ClassVar[float] = 1.0
    sign: int = 1

    def __post_init__(self) -> None:
        if self.sign not in (1, -1):
            raise InputError(f"score 'intensity': sign {self.sign!r} must be 1 or -1")

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over channels."""
        x = seen.image.float().mean(1, keepdim=True)
        return x if self.sign == 1 else 1 - x


@SCORES.add_def("volume", "the image's voxels where it is above a threshold, else 0: its mean is the tissue's volume")
@dataclass(frozen=True)
class Volume(Score):
    """Plain volume in voxels, as a case score with ``top_fraction`` 1; with ``sign`` -1 less of it is abnormal.

    Raises:
        InputError: for another sign, or a threshold that is no number.
    """

    uses_reconstruction: ClassVar[bool] = False
    threshold: float = 0.0
    sign: int = 1

    def __post_init__(self) -> None:
        if self.sign not in (1, -1):
            raise InputError(f"score 'volume': sign {self.sign!r} must be 1 or -1")
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, int | float):
            raise InputError(f"score 'volume': threshold {self.threshold!r} must be a number")

    def __call__(self, seen: Seen) -> Tensor:
        """Return the number of voxels of the grid at each voxel of tissue."""
        tissue = seen.image.float().mean(1, keepdim=True) > self.threshold
        return self.sign * tissue.float() * seen.image[0, 0].numel()
