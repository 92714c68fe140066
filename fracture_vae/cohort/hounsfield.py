"""Whether a CT's numbers can be Hounsfield units."""

import numpy as np
from numpy.typing import NDArray

from fracture_vae.errors import InputError

_HIGHEST = 40_000
"""HU; metal reaches 30,000 on an extended scale."""
_ALL_BONE = 500
"""HU; no crop of a patient is above it everywhere, however tight, for marrow, muscle and fat are not."""
_OFFSET_SHARE = 0.45
"""Of the voxels above 150, those in 900..1150: at most 0.09 in real CTs, their vertebrae alone and clipped at 0
included; at least 0.53 in the same with 1024 added, where it is muscle and fat."""


def check_hu(array: NDArray[np.float32], where: str) -> None:
    """Refuse a CT that is clearly not in HU; a CT of bone without any air passes, and one clipped at 0.

    Args:
        array: the CT.
        where: its file, for the message.

    Raises:
        InputError: an 8-bit image, HU with about 1024 added, or numbers no tissue has.
    """
    low, high = float(array.min()), float(array.max())
    found = f"{where}: its values, {low:g} to {high:g}, are no HU"
    if high > _HIGHEST:
        raise InputError(f"{found} (no tissue or metal is above {_HIGHEST}); is it a CT? Export it in HU")
    if low >= 0 and high <= 255:
        raise InputError(f"{found} but an 8-bit picture's; export the CT with its rescale slope and intercept applied")
    if low > _ALL_BONE or _is_offset(array):
        raise InputError(f"{found}: soft tissue lies near 1024, not 0; subtract 1024 (rescale intercept) and run again")


def _is_offset(array: NDArray[np.float32]) -> bool:
    above = array[array > 150]
    if above.size == 0 or np.count_nonzero(array < -50) > 0.02 * array.size:
        return False
    return bool(np.count_nonzero((above >= 900) & (above <= 1150)) > _OFFSET_SHARE * above.size)
