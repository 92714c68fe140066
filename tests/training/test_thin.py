"""Convolutions of thin images: what float32 gives, under autocast too."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fracture_vae.training import Accelerated, Acceleration
from fracture_vae.training.thin import exact_where_thin

KINDS: dict[str, Callable[[], nn.Module]] = {
    "3, stride 1": lambda: nn.Conv3d(4, 8, 3, padding=1),
    "3, stride 2": lambda: nn.Conv3d(4, 8, 3, stride=2, padding=1),
    "4, stride 2": lambda: nn.Conv3d(4, 8, 4, stride=2, padding=1),
    "3, dilated": lambda: nn.Conv3d(4, 8, 3, padding=2, dilation=2),
    "transposed": lambda: nn.ConvTranspose3d(4, 8, 4, stride=2, padding=1),
    "flat": lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1),
    "flat, transposed": lambda: nn.ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1),
}


def passed(module: nn.Module, image: Tensor, autocast: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return output and gradients of image and weight, after filling freed memory with NaN."""
    module.zero_grad()
    image = image.clone().requires_grad_()
    freed = [torch.full((size,), float("nan")) for size in (100, 1_000, 10_000, 100_000)]
    del freed
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = module(image)
    out.float().square().sum().backward()
    assert image.grad is not None
    return out, image.grad, next(module.parameters()).grad


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    batch=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_a_thin_image_is_convolved_as_without_autocast_and_others_nearly(
    kind: str, shape: tuple[int, ...], batch: int, seed: int
) -> None:
    torch.manual_seed(seed)
    module = KINDS[kind]()
    dims = 2 if "flat" in kind else 3
    reach = module.dilation[0] * (module.kernel_size[0] - 1) + 1
    assume("transposed" in kind or min(shape[:dims]) + 2 * module.padding[0] >= reach)
    image = torch.randn(batch, 4, *shape[:dims])
    expected = passed(module, image, autocast=False)
    exact_where_thin(module)
    got = passed(module, image, autocast=True)
    if min(shape[:dims]) < reach:
        assert all(torch.equal(one, other) for one, other in zip(got, expected, strict=True))
        return
    assert got[0].dtype == torch.bfloat16
    for one, other in zip(got, expected, strict=True):
        assert (one.float() - other).norm() <= 0.03 * other.norm()


def test_the_weights_names_and_values_stay() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.ConvTranspose3d(2, 1, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    exact_where_thin(network)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert isinstance(network[0], nn.Conv3d)


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_whatever_is_accelerated_on_a_cpu_has_it(compiled: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 8, 4, 2, 1), nn.Conv3d(8, 16, 3, padding=1))
    image = torch.randn(2, 1, 4, 8, 8)
    driven = Accelerated(network, Acceleration(torch.device("cpu"), "bf16", True, compiled)).train()
    driven(image).square().sum().backward()
    gradient = network[1].weight.grad.clone()
    features = network[0](image).detach()
    network.zero_grad()
    network[1](features).square().sum().backward()
    assert (gradient - network[1].weight.grad).norm() < 0.02 * gradient.norm()
