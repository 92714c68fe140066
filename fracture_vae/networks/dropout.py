"""Dropout that costs little on a CPU."""

import torch
from torch import Tensor, nn


class ByteDropout(nn.Module):
    """Elementwise dropout (Srivastava et al. 2014) that spends one random byte an element.

    ``nn.Dropout`` draws a float an element, a large part of a compiled training step on a CPU.
    ``probability`` is rounded to a multiple of 1/256 (0.1 -> 26/256 = 0.1016), and the scale of the elements kept is
    exactly the inverse of the rounded rate, so that the mean is preserved.
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
        count = x.numel()
        words = torch.randint(-(2**63), 2**63 - 1, ((count + 7) // 8,), device=x.device)
        keep = words.view(torch.uint8)[:count] >= self.dropped
        keep = keep.view(x.shape[0], *x.shape[2:], x.shape[1]).movedim(-1, 1)  # laid out as channels-last x is
        return torch.where(keep, x * (256 / (256 - self.dropped)), 0)
