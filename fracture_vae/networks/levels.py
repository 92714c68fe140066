"""The vertebral level as a condition: a learned vector, and one for a level nobody told."""

import torch
from torch import Tensor, nn

UNKNOWN = 0
"""Index of a level nobody told."""


class LevelEmbedding(nn.Module):
    """Adds a vector of the level to every position of z, as conditional VAEs tell their decoder (Sohn et al. 2015).

    Training forgets a level now and then, so that the vector of :data:`UNKNOWN` is learned as well and a network can
    be asked without one.

    Args:
        levels: how many there are; indices run from 1.
        dim: channels of z.
        dropout: probability that training forgets a level.
    """

    def __init__(self, levels: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.levels = levels
        self.dropout = dropout
        self.vectors = nn.Embedding(levels + 1, dim)
        nn.init.normal_(self.vectors.weight, std=0.02)  # training starts as if there were no levels

    def forward(self, z: Tensor, level: Tensor | None) -> Tensor:
        """Return z (B, D, \\*spatial) with the vectors of ``level`` (B,) int64 added; None, or above, is unknown."""
        if level is None:
            index = torch.full(z.shape[:1], UNKNOWN, dtype=torch.int64, device=z.device)
        else:
            index = torch.where(level <= self.levels, level, UNKNOWN)
        if self.training:
            index = torch.where(torch.rand(index.shape, device=z.device) < self.dropout, UNKNOWN, index)
        return z + self.vectors(index)[(..., *[None] * (z.dim() - 2))].to(z.dtype)


def conditions(network: nn.Module, level: Tensor | None) -> tuple[Tensor, ...]:
    """Return what follows the image in a call of ``network``: the level, where there is one and it takes one."""
    return (level,) if level is not None and getattr(network, "takes_level", False) else ()
