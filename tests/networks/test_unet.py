"""The U-Net on folded voxels."""

import pytest
import torch
from torch import nn

from fracture_vae.errors import InputError
from fracture_vae.networks import UNet, UNetConfig
from fracture_vae.networks.unet import FoldedUNet


@pytest.mark.parametrize("dims", [2, 3])
def test_without_its_net_folding_and_unfolding_change_nothing(dims: int) -> None:
    network = FoldedUNet(UNetConfig(spatial_dims=dims, channels=(4, 8)), 2, 2)
    network.net = nn.Identity()
    x = torch.rand(2, 2, *(4, 6, 8)[:dims])
    assert torch.equal(network(x), x)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("dims", [2, 3])
def test_it_restores_in_the_unit_range_and_learns_everywhere(norm: str, dims: int) -> None:
    network = UNet(UNetConfig(spatial_dims=dims, channels=(8, 8, 16), norm=norm), in_channels=2).train()
    x = torch.rand(2, 2, *(16,) * dims)
    out = network(x)
    assert out.shape == x.shape
    assert 0 <= out.min() < out.max() <= 1
    (out - x).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if not name.endswith("conv.bias")] == [], "a norm takes a bias before it away"


def test_sizes_are_multiples_of_its_downsampling() -> None:
    network = UNet(UNetConfig(channels=(4, 4, 4, 8)))
    assert network.downsampling == 8
    assert network.net.config.downsampling == 8
    assert network(torch.rand(1, 1, 8, 16, 24)).shape == (1, 1, 8, 16, 24)
    with pytest.raises(InputError, match=r"\(8, 12, 8\) is not a multiple of 8"):
        network(torch.rand(1, 1, 8, 12, 8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spatial_dims": 1}, "spatial_dims is 1"),
        ({"channels": [8]}, "channels is (8,)"),
        ({"channels": (8, 0)}, "channels is (8, 0)"),
        ({"units": 1.5}, "units is 1.5"),
        ({"norm": "layer"}, "norm is 'layer'"),
    ],
)
def test_wrong_config_is_one_line(options: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        UNetConfig(**options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
