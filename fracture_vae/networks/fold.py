"""A trained network rewritten for inference: the same function in fewer and faster steps."""

import copy
from itertools import product

import torch.nn.functional as F
from monai.networks.blocks import Convolution
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_TAPS = {0: ((1, 1), (3, 0)), 1: ((0, 2), (2, 1))}
"""Kernel positions that reach an even (0) or odd (1) output voxel 2i or 2i + 1, each with the input voxel it takes:
i - 1, i or i + 1 as 0, 1, 2."""
_FEW = 4
"""Output channels up to which the rewritten transposed convolution is the faster one."""


def folded(network: nn.Module) -> nn.Module:
    """Return a copy of ``network`` in evaluation mode that computes the same with less work.

    In MONAI's ``Convolution`` blocks batch normalisation, which has learned its constants, becomes part of the
    convolution's weights, and LeakyReLU writes where it reads. Transposed 3D convolutions to few channels become
    :class:`Subpixel`. Everything else stays; results differ by rounding only.
    """
    fast = copy.deepcopy(network).eval()
    for block in [module for module in fast.modules() if isinstance(module, Convolution)]:
        adn = getattr(block, "adn", nn.Module())  # a block that convolves only has none
        norm = getattr(adn, "N", None)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            transposed = isinstance(block.conv, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
            block.conv = fuse_conv_bn_eval(block.conv, norm, transpose=transposed)
            adn.N = nn.Identity()
        activation = getattr(adn, "A", None)
        if isinstance(activation, nn.LeakyReLU):
            activation.inplace = True
        if _is_doubling(block.conv):
            block.conv = Subpixel(block.conv)
    return fast


def _is_doubling(convolution: nn.Module) -> bool:
    """Whether this is a transposed 3D convolution as the decoder's last: kernel 4, stride 2, to few channels."""
    return (
        isinstance(convolution, nn.ConvTranspose3d)
        and (convolution.kernel_size, convolution.stride) == ((4, 4, 4), (2, 2, 2))
        and (convolution.padding, convolution.output_padding) == ((1, 1, 1), (0, 0, 0))
        and (convolution.dilation, convolution.groups) == ((1, 1, 1), 1)
        and convolution.out_channels <= _FEW
    )


class Subpixel(nn.Module):
    """A transposed convolution of kernel 4, stride 2 and padding 1 as a plain one to eight voxels at a time.

    Each output voxel depends on 2³ of the 3³ input voxels around it, so a convolution of kernel 3 can give all eight
    output voxels of an input voxel as channels, which are then put in their places (Shi et al. 2016,
    arXiv:1609.07009). Few output channels leave most of a CPU's vector lanes idle in the transposed form.

    Args:
        transposed: what to rewrite; its weights are copied.
    """

    def __init__(self, transposed: nn.ConvTranspose3d) -> None:
        super().__init__()
        weight = transposed.weight.detach()  # (inputs, outputs, 4, 4, 4)
        self.outputs = weight.shape[1]
        rewritten = weight.new_zeros(self.outputs, 2, 2, 2, weight.shape[0], 3, 3, 3)
        for phase in product((0, 1), repeat=3):
            for taps in product(*(_TAPS[p] for p in phase)):
                kernel, place = zip(*taps, strict=True)
                rewritten[(slice(None), *phase, slice(None), *place)] = weight[(..., *kernel)].T
        bias = None if transposed.bias is None else transposed.bias.detach().repeat_interleave(8)
        self.weight = nn.Parameter(rewritten.flatten(0, 3), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W, D) to (B, outputs, 2H, 2W, 2D)."""
        batch, _, *shape = x.shape
        voxels = F.conv3d(x, self.weight, self.bias, padding=1).reshape(batch, self.outputs, 2, 2, 2, *shape)
        placed = voxels.permute(0, 1, 5, 2, 6, 3, 7, 4)
        return placed.reshape(batch, self.outputs, *(2 * size for size in shape))
