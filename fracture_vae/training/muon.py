"""An optimizer for large batches: it makes more of a step than Adam does, so that fewer steps learn as much."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of K. Jordan's quintic Newton-Schulz iteration: steepest at 0, so that five rounds are enough."""
_ROUNDS = 5
_MOMENTUM = 0.95
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return the matrix with its singular vectors kept and its singular values brought near 1, to 0.68 … 1.14.

    The same polynomials as K. Jordan's, applied to the Gram matrix of the shorter side rather than to the whole matrix:
    that is multiplied twice in all instead of ten times. Singular values below a thousandth of the Frobenius norm
    stay below.

    Args:
        matrix: (M, N), float32. One of zeros gives zeros.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalized(matrix.T).T
    scaled = matrix / matrix.norm().clamp(min=1e-12)
    gram = scaled @ scaled.T
    whole = factor = _factor(gram)
    for _ in range(_ROUNDS - 1):
        gram = factor @ gram @ factor
        factor = _factor(gram)
        whole = factor @ whole
    return whole @ scaled


def _factor(gram: Tensor) -> Tensor:
    """Return what a round multiplies the matrix of this Gram matrix by."""
    a, b, c = _COEFFICIENTS
    return torch.addmm(b * gram, gram, gram, alpha=c).add_(torch.eye(len(gram), device=gram.device), alpha=a)


class Muon(Optimizer):
    """Momentum, orthogonalized, for matrices and the kernels of convolutions; Adam for everything else.

    A kernel (O, I, \\*k) is taken for the matrix of O rows. Its update has about the size that Adam's would have (a
    root mean square of 0.2 learning rates a weight), so that one learning rate serves both. ``torch.optim.Muon``
    takes matrices alone.

    Source: K. Jordan et al., *Muon: an optimizer for hidden layers in neural networks* (2024); the size: J. Liu et al.,
    *Muon is scalable for LLM training*, arXiv:2502.16982.

    Args:
        parameters: to be trained, float32.
        lr: learning rate; a few times that of Adam.
        weight_decay: share of a weight that it loses in a step, times the learning rate.

    Raises:
        ValueError: for a rate or a decay below 0.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"Invalid learning rate {lr} or weight_decay {weight_decay}")
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move the weights that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                update = _orthogonal if weight.ndim > 1 else _adaptive
                weight.add_(update(weight.grad, self.state[weight]), alpha=-group["lr"])
        return loss


def _orthogonal(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    momentum: Tensor = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
    matrix = gradient.lerp(momentum, _MOMENTUM).flatten(1)
    size = 0.2 * max(matrix.shape) ** 0.5
    return size * orthogonalized(matrix).view(gradient.shape)


def _adaptive(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    if not state:
        state.update(step=0, first=torch.zeros_like(gradient), second=torch.zeros_like(gradient))
    state["step"] += 1
    first: Tensor = state["first"].lerp_(gradient, 1 - _BETAS[0])
    second: Tensor = state["second"].lerp_(gradient.square(), 1 - _BETAS[1])
    unbiased = [moment / (1 - beta ** state["step"]) for moment, beta in zip((first, second), _BETAS, strict=True)]
    return unbiased[0] / (unbiased[1].sqrt() + _EPSILON)
