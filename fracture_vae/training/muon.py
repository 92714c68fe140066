"""An optimizer for large batches: it makes more of a step than Adam does, so that fewer steps learn as much."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of K. Jordan's quintic Newton-Schulz iteration: steepest at 0, so that five rounds are enough."""
_ROUNDS = 5
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


def orthogonalized(matrices: Tensor, size: float = 1.0) -> Tensor:
    """Return matrices with their singular vectors kept and their singular values brought near ``size``.

    They become 0.68 to 1.14 times it. The same polynomials as K. Jordan's, applied to the Gram matrix of the shorter
    side rather than to the whole matrix: that is multiplied twice in all instead of ten times. Singular values below
    a thousandth of the Frobenius norm stay below.

    Args:
        matrices: (K, M, N), float32. One of zeros gives zeros.
        size: of the singular values.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalized(matrices.mT, size).mT
    gram = matrices @ matrices.mT
    squared_norm = gram.diagonal(dim1=1, dim2=2).sum(-1).clamp(min=1e-24)[:, None, None]
    gram = gram / squared_norm
    whole = factor = _factor(gram)
    for _ in range(_ROUNDS - 1):
        gram = factor @ gram @ factor
        factor = _factor(gram)
        whole = factor @ whole
    return (whole * (size * squared_norm.rsqrt())) @ matrices


def _factor(gram: Tensor) -> Tensor:
    """Return what a round multiplies the matrices of these Gram matrices by."""
    a, b, c = _COEFFICIENTS
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor


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
        momentum: share of a kernel's mean gradient that a step keeps; the longer a step, the less.

    Raises:
        ValueError: for a rate or a decay below 0, or a momentum outside [0, 1).
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"Invalid learning rate {lr} or weight_decay {weight_decay}")
        if not 0 <= momentum < 1:
            raise ValueError(f"Invalid momentum {momentum}")
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

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
            moved = [weight for weight in group["params"] if weight.grad is not None]
            kernels, others = [w for w in moved if w.ndim > 1], [w for w in moved if w.ndim <= 1]
            orthogonal = partial(_orthogonal, momentum=group["momentum"])
            for weights, directions in ((kernels, orthogonal), (others, _adaptive)):
                if weights:
                    found = directions([weight.grad for weight in weights], [self.state[weight] for weight in weights])
                    torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                    torch._foreach_add_(weights, found, alpha=-group["lr"])
        return loss


def _orthogonal(gradients: list[Tensor], states: list[dict[str, Any]], momentum: float) -> list[Tensor]:
    """Return the directions of matrices and kernels; those of one shape are multiplied together."""
    for gradient, state in zip(gradients, states, strict=True):
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
    momenta = [state["momentum"] for state in states]
    torch._foreach_lerp_(momenta, gradients, 1 - momentum)
    directions = list(torch._foreach_lerp(gradients, momenta, momentum))
    places: dict[torch.Size, list[int]] = {}
    for place, gradient in enumerate(gradients):
        places.setdefault(gradient.shape, []).append(place)
    for shape, alike in places.items():
        matrices = torch.stack([directions[place] for place in alike]).flatten(2)
        moves = orthogonalized(matrices, 0.2 * max(matrices.shape[1:]) ** 0.5)
        for place, move in zip(alike, moves, strict=True):
            directions[place] = move.view(shape)
    return directions


def _adaptive(gradients: list[Tensor], states: list[dict[str, Any]]) -> list[Tensor]:
    """Return the directions of everything else, which are Adam's."""
    for gradient, state in zip(gradients, states, strict=True):
        if not state:
            state.update(step=0, first=torch.zeros_like(gradient), second=torch.zeros_like(gradient))
        state["step"] += 1
    firsts, seconds = [state["first"] for state in states], [state["second"] for state in states]
    torch._foreach_lerp_(firsts, gradients, 1 - _BETAS[0])
    torch._foreach_lerp_(seconds, torch._foreach_mul(gradients, gradients), 1 - _BETAS[1])
    scales = torch._foreach_div(seconds, [1 - _BETAS[1] ** state["step"] for state in states])
    torch._foreach_sqrt_(scales)
    torch._foreach_add_(scales, _EPSILON)
    directions = torch._foreach_div(firsts, [1 - _BETAS[0] ** state["step"] for state in states])
    torch._foreach_div_(directions, scales)
    return list(directions)
