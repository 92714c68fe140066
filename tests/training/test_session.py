"""The small steps of a training run."""

import re
from typing import Any

import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.training import build_optimizer


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop"])
def test_an_optimizer_in_one_pass_moves_weights_as_pytorch_s_own_does(name: str) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(7, 5), torch.randn(3, 7, 5)

    def moved(fused: bool) -> torch.Tensor:
        weight = torch.nn.Parameter(start.clone())
        optimizer = (
            build_optimizer(name, [weight], 1e-2, 1e-3)
            if fused
            else getattr(torch.optim, name)([weight], lr=1e-2, weight_decay=1e-3)
        )
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        return weight.detach()

    torch.testing.assert_close(moved(True), moved(False), atol=1e-6, rtol=1e-5)
    assert not torch.equal(moved(True), start)


def test_an_optimizer_gets_its_further_arguments() -> None:
    weights = [torch.nn.Parameter(torch.ones(2, 2))]
    assert build_optimizer("SGD", weights, 1e-2, 0.0, {"momentum": 0.8}).param_groups[0]["momentum"] == 0.8
    assert build_optimizer("Muon", weights, 1e-2, 0.0, {"momentum": 0.8}).param_groups[0]["momentum"] == 0.8
    assert build_optimizer("Muon", weights, 1e-2, 0.0).param_groups[0]["momentum"] == 0.95


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Adam", {"momentum": 0.9}),
        ("Muon", {"momentum": 1.0}),
        ("Muon", {"momentum": -0.1}),
        ("Muon", {"momentum": "a"}),
        ("Muon", {"lr": 1e-2}),
        ("SGD", {"momentum": -1}),
    ],
)
def test_arguments_that_an_optimizer_does_not_take_are_named(name: str, options: dict[str, Any]) -> None:
    named = re.escape(f"optimizer '{name}' with learning_rate 0.01, weight_decay 0.0 and optimizer_options {options}: ")
    with pytest.raises(InputError, match=named):
        build_optimizer(name, [torch.nn.Parameter(torch.ones(2, 2))], 1e-2, 0.0, options)
