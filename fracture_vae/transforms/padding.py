"""Any size in, the same size out: centred padding to what the network can halve, and back."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def multiple_of(shape: Sequence[int], factor: int) -> tuple[int, ...]:
    """Return ``shape`` with every entry rounded up to a multiple of ``factor``."""
    return tuple(-(-size // factor) * factor for size in shape)


def pad_to(array: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """Return ``array`` centred in zeros of ``shape`` (each entry at least the array's)."""
    out = np.zeros(tuple(shape), dtype=array.dtype)
    out[centred(array.shape, shape)] = array
    return out


def centred(inner: Sequence[int], outer: Sequence[int]) -> tuple[slice, ...]:
    """Return where a box of size ``inner`` lies when centred in ``outer`` (the odd voxel goes behind)."""
    starts = [(o - i) // 2 for i, o in zip(inner, outer, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(starts, inner, strict=True))
