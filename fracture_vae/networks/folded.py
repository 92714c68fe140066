"""The convolutions between image and first features, folded so that processors can multiply them.

A convolution of kernel 4 and stride 2 with one channel on one side fills a thirty-second of a processor's vectors.
Folding each 2 x 2 x 2 block of voxels into channels (Shi et al. 2016, arXiv:1609.05158) makes it one of kernel 2,
stride 1 and eight channels: the same weights, the same sums, no multiplication more.
"""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL, STRIDE, PADDING = 4, 2, 1


class FoldedConvolution(nn.Module):
    """What ``convolution`` computes, an ``nn.Conv2d`` or ``nn.Conv3d`` of kernel 4, stride 2, padding 1, groups 1.

    Maps (B, I, \\*spatial) of even sizes to (B, O, \\*spatial / 2); ``weight`` (O, I, 4, 4[, 4]) and ``bias`` are the
    convolution's own, so that a state dict does not tell them apart.
    """

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias = _parameters(convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (B, I, \\*spatial)."""
        dims = x.dim() - 2
        padded = F.pad(x, [PADDING] * (2 * dims))
        blocks = [size // 2 for size in padded.shape[2:]]
        halves = padded.reshape(*x.shape[:2], *(n for size in blocks for n in (size, 2)))
        outer, inner = _pairs(2, dims)
        folded = halves.permute(0, *outer, 1, *inner).reshape(x.shape[0], *blocks, -1).movedim(-1, 1)
        return _convolve(folded, _split(self.weight, (0, 1)), self.bias)


class FoldedTransposedConvolution(nn.Module):
    """The same for an ``nn.ConvTranspose2d`` or ``nn.ConvTranspose3d``, which double the size."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias = _parameters(convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (B, I, \\*spatial)."""
        dims = x.dim() - 2
        weight = _split(self.weight, (1, 0)).flip(tuple(range(2, 2 + dims)))  # transposed, the kernel runs backwards
        bias = None if self.bias is None else self.bias.repeat_interleave(2**dims)
        folded = _convolve(x, weight, bias, padding=1).movedim(1, -1)
        blocks = folded.shape[1:-1]
        halves = folded.reshape(x.shape[0], *blocks, -1, *[2] * dims)
        axes = [axis for i in range(dims) for axis in (1 + i, 2 + dims + i)]
        unfolded = halves.permute(0, 1 + dims, *axes).reshape(x.shape[0], -1, *(2 * size for size in blocks))
        for axis in range(2, 2 + dims):
            unfolded = unfolded.narrow(axis, PADDING, unfolded.shape[axis] - 2 * PADDING)
        return unfolded


def _parameters(convolution: nn.Module) -> tuple[nn.Parameter, nn.Parameter | None]:
    weight, bias = convolution.weight, convolution.bias
    assert isinstance(weight, nn.Parameter)
    if prod(weight.shape[2:]) != KERNEL ** (weight.dim() - 2):
        raise ValueError(f"a kernel of {tuple(weight.shape[2:])} does not fold; {KERNEL} on every axis does")
    return weight, bias if isinstance(bias, nn.Parameter) else None


def _split(weight: Tensor, order: tuple[int, int]) -> Tensor:
    """Return the kernel-2 weight (O', I', 2, 2[, 2]) of a weight whose axes ``order`` are outputs and inputs.

    Tap k of the kernel meets voxel k % 2 of block k // 2. The voxel becomes part of the channels on the image's
    side, which is axis 1 of both kinds of convolution.
    """
    dims = weight.dim() - 2
    features, image = weight.shape[:2]
    taps = weight.reshape(features, image, *[2] * (2 * dims))
    block, voxel = _pairs(2, dims)
    shape = [features, image * 2**dims, *[2] * dims]
    return taps.permute(0, 1, *voxel, *block).reshape(shape).permute(*order, *range(2, 2 + dims))


def _pairs(start: int, dims: int) -> tuple[list[int], list[int]]:
    """Return the first and the second axes of ``dims`` pairs of axes that begin at ``start``."""
    return [start + 2 * i for i in range(dims)], [start + 2 * i + 1 for i in range(dims)]


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int = 0) -> Tensor:
    return (torch.conv3d if x.dim() == 5 else torch.conv2d)(x, weight, bias, padding=padding)
