"""Where a volume shows a body and not the air around it."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

_REACH = 2  # voxels: gaps up to twice as wide are closed


def body(image: Tensor) -> Tensor:
    """Return where the image (1, 1, H, W, D) shows the body, bool: above 0, closed, the largest piece, holes filled.

    0 is air, what a HU window cuts off below, or padding. An image without a voxel above 0 is taken whole.
    """
    tissue = (image[0, 0] > 0).numpy()
    if not tissue.any():
        return torch.ones_like(image, dtype=torch.bool)
    room = np.pad(tissue, _REACH, mode="edge")  # the body goes on beyond the grid's ends
    closed = ndimage.binary_closing(room, iterations=_REACH)[(slice(_REACH, -_REACH),) * tissue.ndim]
    pieces, count = ndimage.label(closed)
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count > 1 else closed
    return torch.from_numpy(ndimage.binary_fill_holes(largest))[None, None]
