"""From stored values to [0, 1], the only range the networks know."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fracture_vae.errors import InputError, nearest

METHODS = ("hu_window", "percentile", "none")
RANGE_TOLERANCE = 1e-3  # values written in [0, 1] may leave it by rounding when stored as scaled integers


@dataclass(frozen=True)
class Preprocessing:
    """How a volume's values become [0, 1].

    Args:
        intensity: ``hu_window`` maps ``hu_window`` linearly to [0, 1] and clips; ``percentile`` does the same
            with the volume's own percentiles (for modalities without a unit, such as MRI); ``none`` takes the
            values as they are and requires them to be in [0, 1] already.
        hu_window: lower and upper bound in HU.
        percentiles: lower and upper percentile, 0 to 100.

    Raises:
        InputError: for an unknown method or an empty window.
    """

    intensity: str = "none"
    hu_window: tuple[float, float] = (0.0, 1900.0)
    percentiles: tuple[float, float] = (1.0, 99.0)

    def __post_init__(self) -> None:
        if self.intensity not in METHODS:
            hint = nearest(str(self.intensity), METHODS)
            raise InputError(f"intensity '{self.intensity}' is not one of {', '.join(METHODS)}{hint}")
        for name in ("hu_window", "percentiles"):
            given = getattr(self, name)
            try:
                low, high = map(float, given)
            except (TypeError, ValueError) as error:
                raise InputError(f"{name} {given!r}: give two numbers, the lower bound and the upper one") from error
            object.__setattr__(self, name, (low, high))
            if not -math.inf < low < high < math.inf:
                raise InputError(f"{name} [{low:g}, {high:g}]: the lower bound must lie below the upper one")
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise InputError(f"percentiles {list(self.percentiles)}: must lie between 0 and 100")

    def __call__(self, array: NDArray[np.float32], where: str) -> NDArray[np.float32]:
        """Return ``array`` (any shape) in [0, 1] as float32; ``where`` names it in error messages.

        Raises:
            InputError: when the values do not fit the method (HU given to ``none``, [0, 1] given to
                ``hu_window``, no spread for ``percentile``).
        """
        if self.intensity == "none":
            return self._checked(array, where)
        if self.intensity == "hu_window":
            if array.min() >= 0 and array.max() <= 1:
                raise InputError(f"{where}: values are already in [0, 1]; set intensity to none")
            return _rescale(array, *self.hu_window)
        low, high = np.percentile(array, self.percentiles)
        if not low < high:
            raise InputError(
                f"{where}: percentiles {self.percentiles[0]:g} and {self.percentiles[1]:g} are both {low:g}; "
                "widen them or set intensity to hu_window"
            )
        return _rescale(array, float(low), float(high))

    def _checked(self, array: NDArray[np.float32], where: str) -> NDArray[np.float32]:
        low, high = float(array.min()), float(array.max())
        if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
            raise InputError(
                f"{where}: values reach from {low:g} to {high:g} but intensity is none, which needs [0, 1]; "
                "set intensity to hu_window (CT) or percentile"
            )
        return np.clip(array, 0, 1, dtype=np.float32)


def _rescale(array: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    return np.clip((array - np.float32(low)) / np.float32(high - low), 0, 1, dtype=np.float32)
