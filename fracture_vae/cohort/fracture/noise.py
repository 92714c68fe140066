"""Interpolation blurs noise, and a blurred patch would give a fracture away; this puts back what was lost."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]

_AROUND = 3.0  # voxels, σ of the neighbourhood noise is measured in
_EDGE = 3.0  # times the image's noise; what is stronger is an edge, not noise


def fine(image: Image) -> Image:
    """Return the finest part of an image: what a Gaussian of one voxel takes away."""
    return image - ndimage.gaussian_filter(image, 1.0, mode="nearest")


def matched(ct: Image, image: Image, index: NDArray[np.float32], random: np.random.Generator) -> Image:
    """Return a resampled CT with its fine noise as strong as before.

    The strength of the fine part is measured about every voxel, edges clipped, and compared with what it was where
    the tissue came from. Where it is weaker, noise with the CT's own fine spectrum makes up the difference in
    variance; where tissue was squeezed and it is stronger, it is damped.

    Args:
        ct: (H, W, D), before resampling, HU.
        image: (H, W, D), after, without any other change.
        index: (3, H, W, D), where in ``ct`` each voxel was taken from.
        random: draws the noise.
    """
    detail = fine(ct)
    usual = 1.4826 * float(np.median(np.abs(detail - np.median(detail))))
    detail = np.clip(detail, -_EDGE * usual, _EDGE * usual)
    before = ndimage.map_coordinates(_variance(detail), index, order=1, mode="nearest")
    now = fine(image)
    after = _variance(np.clip(now, -_EDGE * usual, _EDGE * usual))
    noise = _alike(detail, random)
    noise *= np.sqrt(np.clip(before - after, 0, None)) / float(fine(noise).std())
    return np.asarray(image + noise - now * (1 - np.sqrt(np.minimum(before / after, 1))), np.float32)


def _alike(detail: Image, random: np.random.Generator) -> Image:
    """Return noise with the amplitude spectrum of ``detail`` and random phases."""
    shape = detail.shape
    phases = np.fft.rfftn(random.standard_normal(shape, dtype=np.float32))
    spectrum = np.abs(np.fft.rfftn(detail)) * phases / np.maximum(np.abs(phases), 1e-6)
    return np.fft.irfftn(spectrum, s=shape, axes=(0, 1, 2)).astype(np.float32)


def _variance(detail: Image) -> Image:
    return np.maximum(ndimage.gaussian_filter(detail**2, _AROUND, mode="nearest"), 1e-6)
