"""Convolutions of images thinner than their kernel, which oneDNN gets wrong in bfloat16.

On a CPU with AVX-512 BF16, oneDNN 3.12 (torch 2.13) reads and writes beside the image where one of its axes is shorter
than the kernel: parts of the weight's gradient, and some outputs, are whatever lay in memory, and now and then the
process dies. Such images lie at the bottom of a network, where float32 costs next to nothing.
"""

from typing import Any

import torch
from torch import Tensor, nn


class _ExactWhereThin(nn.Module):
    """Mixed into a convolution: outside autocast where the image is thinner than the kernel."""

    kernel_size: tuple[int, ...]
    dilation: tuple[int, ...]

    def forward(self, input: Tensor, *rest: Any) -> Tensor:
        reach = [spacing * (taps - 1) + 1 for spacing, taps in zip(self.dilation, self.kernel_size, strict=True)]
        if all(size >= length for size, length in zip(input.shape[2:], reach, strict=True)):
            return super().forward(input, *rest)
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float(), *rest)


class _Conv2d(_ExactWhereThin, nn.Conv2d):
    pass


class _Conv3d(_ExactWhereThin, nn.Conv3d):
    pass


class _ConvTranspose2d(_ExactWhereThin, nn.ConvTranspose2d):
    pass


class _ConvTranspose3d(_ExactWhereThin, nn.ConvTranspose3d):
    pass


_EXACT = {cls.__bases__[1]: cls for cls in (_Conv2d, _Conv3d, _ConvTranspose2d, _ConvTranspose3d)}


def exact_where_thin(module: nn.Module) -> None:
    """Have every convolution in ``module`` run in float32 where its image is thinner than its kernel.

    Weights, their names and what is computed stay; only the class of the convolutions changes.
    """
    for part in module.modules():
        if type(part) in _EXACT:
            part.__class__ = _EXACT[type(part)]
