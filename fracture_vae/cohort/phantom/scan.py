"""From what was drawn to what a scanner shows: point spread, slices of their thickness, noise of the kernel's texture.

Slices thicker than the lattice average along z and are then interpolated back, as in every study whose crops are
isotropic.
"""

import math

import numpy as np
from scipy import ndimage, sparse

from fracture_vae.cohort.phantom.collapse import Field
from fracture_vae.cohort.phantom.grid import Grid
from fracture_vae.cohort.phantom.scanner import Scanner
from fracture_vae.cohort.phantom.streams import stream

REACH = 6.0
"""mm along z from which a slice is blurred; a window must be drawn this much higher and lower than it is shown."""
_ALONG = 0.35  # σ (mm) of the point spread along z that is there in the thinnest slice
_SLICES_BELOW = 100_000  # keeps the stream index of a slice positive


def scan(drawn: Field, grid: Grid, scanner: Scanner, seed: int) -> Field:
    """Return the CT of what was drawn (HU, shape of the grid); `REACH` mm at both ends keep an edge effect.

    A slice lies at a multiple of the increment and has noise of its own, so what it shows does not depend on the
    window.
    """
    spread = ndimage.gaussian_filter1d(drawn, _ALONG / grid.spacing, axis=2, mode="nearest", truncate=3)
    spread = _reconstruct(spread, scanner, grid.spacing)
    average, between, numbers = _slices(grid, scanner)
    planes = average @ np.ascontiguousarray(spread.reshape(-1, grid.shape[2]).T)
    strength = _strength(scanner, grid.spacing)
    for plane, number in zip(planes.reshape(-1, *grid.shape[:2]), numbers, strict=True):
        white = stream(seed, "noise", number + _SLICES_BELOW).standard_normal(plane.shape, np.float32)
        plane += strength * _coloured(white, scanner, grid.spacing)
    return np.ascontiguousarray((between @ planes).T).reshape(grid.shape)


def _slices(grid: Grid, scanner: Scanner) -> tuple[sparse.csr_array, sparse.csr_array, list[int]]:
    """Return how slices average the lattice, how the lattice interpolates between slices, and the slices' numbers."""
    thickness, step = max(scanner.thickness, grid.spacing), max(scanner.increment, grid.spacing)
    z = (np.arange(grid.shape[2]) + grid.start[2]) * grid.spacing
    numbers = np.arange(math.floor(z[0] / step), math.ceil(z[-1] / step) + 1)
    away = np.abs(numbers[:, None] * step - z[None, :])
    overlap = np.clip((thickness + grid.spacing) / 2 - away, 0, min(thickness, grid.spacing))
    average = overlap / np.maximum(overlap.sum(1, keepdims=True), 1e-6)
    between = np.clip(1 - away.T / step, 0, 1)
    as_sparse = [sparse.csr_array(matrix.astype(np.float32)) for matrix in (average, between)]
    return as_sparse[0], as_sparse[1], numbers.tolist()


def _reconstruct(image: Field, scanner: Scanner, spacing: float) -> Field:
    """Apply the kernel in the plane: point spread, and what an unsharp mask of 1.2 mm adds."""
    sigma = scanner.blur / spacing
    blurred = _blur(image, sigma, "nearest")
    if not scanner.edge:
        return blurred
    wider = _blur(blurred, 1.2 / spacing, "nearest")
    return np.asarray(blurred + np.float32(scanner.edge) * (blurred - wider), np.float32)


def _blur(image: Field, sigma: float, mode: str) -> Field:
    for axis in (0, 1):
        image = ndimage.gaussian_filter1d(image, sigma, axis=axis, mode=mode, truncate=3)
    return image


def _coloured(white: Field, scanner: Scanner, spacing: float) -> Field:
    """Give noise the kernel's texture: little at the lowest frequencies, none above what the kernel passes."""
    fine = _blur(white, scanner.blur / spacing, "wrap")
    return np.asarray(fine - np.float32(0.7) * _blur(fine, 2.0 / spacing, "wrap"), np.float32)


def _strength(scanner: Scanner, spacing: float) -> np.float32:
    """HU by which to multiply coloured noise of unit variance: less in larger voxels and thicker slices."""
    point = np.zeros((41, 41), np.float32)
    point[20, 20] = 1
    gain = math.sqrt(float(np.square(_coloured(point, scanner, spacing)).sum()))
    return np.float32(scanner.noise / (gain * spacing * math.sqrt(max(scanner.thickness, spacing, 1.0))))
