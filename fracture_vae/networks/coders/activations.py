"""Activations by name, SwiGLU among them, which is a layer of its own."""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor, nn

SWIGLU = "swiglu"
_PLAIN: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leakyrelu": lambda: nn.LeakyReLU(0.2),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
ACTIVATIONS = (*_PLAIN, SWIGLU)


class SwiGLU(nn.Module):
    """a · SiLU(b) of the two halves (a, b) of the channels (Shazeer 2020, arXiv:2002.05202, without the projection)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, …) of x (B, 2C, …)."""
        value, gate = x.chunk(2, dim=1)
        return value * F.silu(gate)


def activation(name: str) -> nn.Module:
    """Return the activation called ``name``, one of ``ACTIVATIONS``."""
    return SwiGLU() if name == SWIGLU else _PLAIN[name]()


def inputs_of(name: str, width: int) -> int:
    """Return how many channels the layer before an activation of ``width`` channels must give: SwiGLU halves them."""
    return 2 * width if name == SWIGLU else width
