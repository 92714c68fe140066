"""Separable filters as one small matrix an axis: exact at the ends of the grid, and a matrix product on any device."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

TRUNCATE = 3.5
"""A Gaussian ends after so many standard deviations, as scikit-image's SSIM has it."""


@lru_cache(64)
def _gaussian(size: int, sigma: float) -> NDArray[np.float32]:
    """Return (size, size): row i holds the weights of voxel i, those beyond the ends reflected."""
    identity = np.eye(size)
    return ndimage.gaussian_filter1d(identity, sigma, axis=0, mode="reflect", truncate=TRUNCATE).astype(np.float32)


def gaussian(image: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Return ``image`` (B, C, \\*spatial) smoothed, float32; beyond its ends it goes on mirrored.

    Args:
        image: of any values.
        sigmas: standard deviation along each spatial axis, in voxels; 0 leaves an axis as it is.
    """
    with torch.autocast(image.device.type, enabled=False):
        out = image.float()
        for axis, sigma in enumerate(sigmas, 2):
            if sigma > 0 and out.shape[axis] > 1:
                matrix = torch.from_numpy(_gaussian(out.shape[axis], float(sigma))).to(out.device)
                out = _along(out, axis, matrix)
        return out


def _along(image: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Multiply ``matrix`` (n, n) into an axis of length n."""
    before, size = image.shape[:axis], image.shape[axis]
    flat = image.reshape(before.numel(), size, -1)
    return torch.matmul(matrix, flat).reshape(image.shape)
