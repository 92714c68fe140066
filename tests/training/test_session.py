"""The small steps of a training run."""

import pytest
import torch

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
