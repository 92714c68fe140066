"""Dropout that costs little on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HashedDropout(nn.Module):
    """Elementwise dropout (Srivastava et al. 2014) whose mask, compiled, is a hash of each element's place and a seed.

    ``nn.Dropout`` draws a number an element, a large part of a compiled training step on a CPU, and reads a mask
    back; integer hashing is vectorised and becomes part of the pass that makes the activation. ``probability`` is
    rounded to a multiple of 1/256 (0.1 -> 26/256 = 0.1016), and the scale of the elements kept is exactly the inverse
    of the rounded rate, so that the mean is preserved.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.dropped = round(probability * 256)  # of 256 byte values

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"{self.dropped}/256"

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of x (B, C, \\*spatial) in training; x itself in evaluation."""
        if not self.training or not self.dropped:
            return x
        if not torch.compiler.is_compiling():  # then each operation of the hash would be a pass of its own
            return F.dropout(x, self.dropped / 256)
        return torch.where(hashed_bytes(x) >= self.dropped, x * (256 / (256 - self.dropped)), 0)


def hashed_bytes(like: Tensor) -> Tensor:
    """Return int32 in [0, 256), evenly distributed and drawn anew at each call, of the shape (B, C, \\*spatial)."""
    place = torch.arange(like.numel(), dtype=torch.int32, device=like.device)
    place = place.view(like.shape[0], *like.shape[2:], like.shape[1]).movedim(-1, 1)  # as channels-last lies
    # sums, because a compiler that could draw them again where they are used would, for every few elements
    seeds = torch.randint(-(2**31), 2**31 - 1, (2, 16), device=like.device).sum(1)
    first, second = seeds.to(torch.int32).unbind()
    return _mixed(_mixed(place ^ first) + second) & 255


def _mixed(x: Tensor) -> Tensor:
    """Hash int32: two rounds of shift and multiply (lowbias32, C. Wellons); shifts fill with zeros, not the sign."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x21F0AAAD
    x = (x ^ ((x >> 15) & 0x1FFFF)) * -0x2CA5D269
    return x ^ ((x >> 15) & 0x1FFFF)
