"""What a collapse does to HU: packed bone is denser, an old fracture sclerotic, a broken cortex has a dark line."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.fracture.collapse import Collapse
from fracture_vae.cohort.fracture.frame import Array

_MOST = 2.2  # times the density, however far the bone is packed
_CORTEX = (250.0, 550.0)  # HU, smoothed: below, all of the mineral is packed; above, none (a shell slides, and stays)
_BAND = 3.0  # mm, half thickness of a sclerotic band
_LINE = 0.9  # mm, half thickness of the gap in a broken cortex
_GAP = 60.0  # HU in it
_CLUMP = 1.3  # mm, σ of the clumps of sclerotic bone


def added(collapse: Collapse, own: Array, inside: Array, smooth: NDArray[np.float32]) -> Array:
    """Return the HU to add at points (3, n) of the broken body's frame.

    Mineral is kept: bone squeezed to J of its height has 1/J of the density (above the marrow's 0 HU, at most 2.2
    times). Only the smooth part of the image is changed, so that its noise is not.

    Args:
        collapse: of the body.
        own: points of the deformed body's frame.
        inside: (n,), how far the points belong to the body, 0 to 1.
        smooth: (n,), the moved CT without its noise, HU.
    """
    p, body = collapse.parameters, collapse.body
    packed = np.minimum(1 / collapse.compression(own), _MOST) - 1
    spongy = np.clip((_CORTEX[1] - smooth) / (_CORTEX[1] - _CORTEX[0]), 0, 1)
    hu = np.asarray(packed * np.maximum(smooth, 0) * spongy)
    if p.sclerosis:
        hu += p.sclerosis * _sclerotic(collapse, own) * np.clip(spongy + 0.3, 0, 1)
    hu *= inside
    if p.step:
        u, v, w = own
        near = np.exp(-(((w - collapse.break_height(u, v)) / _LINE) ** 2))
        front = np.clip((v - 0.45 * body.half_depth) / (0.35 * body.half_depth), 0, 1)
        across = np.exp(-(((u / body.half_width - p.step_turn) / 0.5) ** 4))
        hu -= 0.9 * near * front * across * np.maximum(smooth + hu - _GAP, 0)
    return hu


def _sclerotic(collapse: Collapse, own: Array) -> Array:
    """How sclerotic (about 0 to 1.5) bone is: clumps in a band under each endplate that sank."""
    body = collapse.body
    u, v, w = own
    strength = np.zeros_like(w)
    plate = body.at(collapse.plate, u, v)
    for sign, surface, sunk in (
        (1, body.top - collapse.upper, collapse.upper),
        (-1, body.bottom + collapse.lower, collapse.lower),
    ):
        depth = sign * (body.at(surface, u, v) - w) - plate - 1.0
        band = np.exp(-((depth / _BAND) ** 2))
        strength = np.maximum(strength, band * np.clip((body.at(sunk, u, v) - 1) / 3, 0, 1))
    return strength * np.clip(0.9 + 0.5 * clumps(collapse.parameters.texture, own), 0, None)


def clumps(seed: int, own: Array) -> Array:
    """Return a smooth random field of unit variance at points (3, n), a function of the place alone."""
    block = np.random.default_rng(seed).standard_normal((48, 48, 48))
    block = ndimage.gaussian_filter(block, _CLUMP, mode="wrap")
    return ndimage.map_coordinates(block / block.std(), own, order=1, mode="grid-wrap")
