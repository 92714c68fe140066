"""The optimizer for large batches, against its definition and PyTorch's own for matrices."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fracture_vae.training import build_optimizer
from fracture_vae.training.muon import Muon, orthogonalized


def quintic(matrix: Tensor) -> Tensor:
    """The iteration as it is written down, in double precision."""
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.float()


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**31), st.sampled_from([1e-6, 1.0, 1e6]))
def test_orthogonalized_is_the_iteration_by_the_gram_matrix(rows: int, columns: int, seed: int, by: float) -> None:
    matrix = by * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(orthogonalized(matrix[None])[0], quintic(matrix), atol=2e-3, rtol=0)


def test_singular_vectors_stay_and_values_come_near_one() -> None:
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(size, 16))[0] for size in (16, 100))
    found = left.T @ orthogonalized((left * torch.linspace(0.1, 1, 16) @ right.T)[None])[0] @ right
    assert found.diagonal().min() > 0.68
    assert found.diagonal().max() < 1.14
    torch.testing.assert_close(found, found.diagonal().diag(), atol=1e-4, rtol=0)


def test_no_gradient_gives_no_move() -> None:
    assert torch.equal(orthogonalized(torch.zeros(2, 3, 5)), torch.zeros(2, 3, 5))


def moved(make: Callable[[Tensor], torch.optim.Optimizer], start: Tensor, gradients: Tensor) -> Tensor:
    """Where the weight is after a step for each gradient."""
    weight = torch.nn.Parameter(start.clone())
    optimizer = make(weight)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach() - start


@pytest.mark.parametrize("momentum", [0.95, 0.5, 0.0])
def test_a_matrix_moves_as_pytorch_s_own_moves_it_but_for_its_bfloat16(momentum: float) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(12, 40), torch.randn(4, 12, 40)
    mine = moved(lambda weight: Muon([weight], 1e-2, 0.1, momentum), start, gradients)
    theirs = moved(
        lambda weight: torch.optim.Muon(
            [weight], lr=1e-2, weight_decay=0.1, momentum=momentum, adjust_lr_fn="match_rms_adamw"
        ),
        start, gradients,
    )  # fmt: skip
    assert (mine - theirs).norm() < 0.03 * theirs.norm()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_a_kernel_moves_as_the_matrix_of_its_rows(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(6, 3, 2, 4, 2), torch.randn(3, 6, 3, 2, 4, 2)
    laid = start.to(memory_format=layout)
    as_kernel = moved(lambda weight: Muon([weight], 1e-2), laid, gradients)
    as_matrix = moved(lambda weight: Muon([weight], 1e-2), start.flatten(1), gradients.flatten(2))
    torch.testing.assert_close(as_kernel, as_matrix.view(start.shape))
    assert as_kernel.square().mean().sqrt() == pytest.approx(3 * 0.2 * 1e-2, rel=0.5), "about Adam's size, three times"


def test_a_vector_moves_as_adamw_moves_it() -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(9), torch.randn(5, 9)
    mine = moved(lambda weight: Muon([weight], 1e-2, 0.1), start, gradients)
    theirs = moved(lambda weight: torch.optim.AdamW([weight], lr=1e-2, weight_decay=0.1), start, gradients)
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


def test_it_goes_on_where_its_state_was_kept() -> None:
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(4, 6)), torch.nn.Parameter(torch.randn(4))]
    gradients = [torch.randn_like(weight) for weight in weights]

    def step(optimizer: torch.optim.Optimizer, of: list[torch.nn.Parameter]) -> None:
        for weight, gradient in zip(of, gradients, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()

    first = build_optimizer("Muon", weights, 1e-2, 0.0)
    step(first, weights)
    copies = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    second = build_optimizer("Muon", copies, 1.0, 0.0)
    second.load_state_dict(deepcopy(first.state_dict()))
    step(first, weights)
    step(second, copies)
    for weight, copy in zip(weights, copies, strict=True):
        assert torch.equal(weight, copy)


def test_a_weight_without_a_gradient_stays() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    build_optimizer("Muon", [weight], 1e-2, 0.5).step()
    assert torch.equal(weight.detach(), torch.ones(2, 2))


def test_weights_move_together_as_each_moves_alone() -> None:
    torch.manual_seed(0)
    shapes = [(8, 3, 2, 2, 2), (8, 3, 2, 2, 2), (40, 2, 3), (5,), (7,), (8, 3, 2, 2, 2)]
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    starts = [weight.detach().clone() for weight in weights]
    gradients = [10.0**place * torch.randn(3, *shape) for place, shape in enumerate(shapes)]
    together = Muon(weights, 1e-2, 0.1)
    for step in range(3):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient[step].clone()
        together.step()
    for weight, start, gradient in zip(weights, starts, gradients, strict=True):
        alone = moved(lambda one: Muon([one], 1e-2, 0.1), start, gradient)
        torch.testing.assert_close(weight.detach() - start, alone, atol=1e-5, rtol=1e-3)
