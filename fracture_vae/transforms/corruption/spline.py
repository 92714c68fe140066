"""Smooth random fields of any size from few numbers: cubic B-splines, a matrix product an axis."""

from collections.abc import Sequence

import torch
from torch import Tensor


def field(coefficients: Tensor, positions: Sequence[Tensor]) -> Tensor:
    r"""Return the random field with B-spline ``coefficients`` at ``positions``.

    Args:
        coefficients: (B, C, \*coarse), independent and of unit variance.
        positions: for each axis (B, n), where its samples lie, in units of the coefficients' index.

    Returns:
        (B, C, \*n), of unit variance everywhere: each axis's weights have unit norm, as interpolation would give
        less variance between the coefficients than at them.
    """
    return spread(
        coefficients, [_weights(at, size) for at, size in zip(positions, coefficients.shape[2:], strict=True)]
    )


def spread(coarse: Tensor, weights: Sequence[Tensor]) -> Tensor:
    r"""Return (B, C, \*n) from (B, C, \*coarse) by a matrix (B, n, coarse) for each axis."""
    out = coarse
    for weight in weights:
        out = torch.einsum("bci...,bni->bc...n", out, weight)
    return out.contiguous()


def _weights(positions: Tensor, count: int) -> Tensor:
    """Return (B, n, count): the cubic B-spline of each coefficient at each position, rows of unit norm."""
    away = (positions[..., None] - torch.arange(count, device=positions.device)).abs()
    spline = torch.where(away < 1, 2 / 3 - away**2 + away**3 / 2, (2 - away).clamp(min=0) ** 3 / 6)
    return spline / spline.norm(dim=-1, keepdim=True).clamp(min=1e-3)
