"""Small filters over a batch of any number of axes."""

import torch.nn.functional as F
from torch import Tensor

_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}


def local_mean(values: Tensor, width: int) -> Tensor:
    r"""Return the mean of ``width`` (odd) voxels of (B, C, \*spatial) along every axis, at borders of those there are.

    Axis by axis, which takes a fraction of the time of one pass.
    """
    dims = values.dim() - 2
    for axis in range(dims):
        kernel = [width if other == axis else 1 for other in range(dims)]
        padding = [size // 2 for size in kernel]
        values = _POOL[dims](values, kernel, stride=1, padding=padding, count_include_pad=False)
    return values


def strongest(values: Tensor) -> Tensor:
    r"""Return (B, 1, \*spatial), the largest channel of (B, C, \*spatial) ``values``."""
    return values if values.shape[1] == 1 else values.amax(1, keepdim=True)
