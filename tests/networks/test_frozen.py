"""The network rewritten for inference computes what the trained one does."""

import pytest
import torch
from torch import nn

from fracture_vae import registry
from fracture_vae.networks import build_network
from fracture_vae.networks.frozen import frozen

registry.load_plugins()


def lived(network: nn.Module) -> nn.Module:
    """The network with other constants in its norms than it starts with."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            for values in (module.running_mean, module.weight.data, module.bias.data):
                values.uniform_(-1, 1)
            module.running_var.uniform_(0.2, 3)
    return network.eval()


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_frozen_vqvae_gives_the_same_reconstruction_and_codes(norm: str, dims: int) -> None:
    torch.manual_seed(0)
    options = {"num_codes": 16, "dim": 8}
    network = build_network(name="vqvae", channels=[4, 8], norm=norm, spatial_dims=dims, quantizer_options=options)
    network = lived(network)
    fast = frozen(network)
    image = torch.rand(2, 1, *[16] * dims)
    with torch.no_grad():
        assert torch.equal(fast.codes(image), network.codes(image))
        torch.testing.assert_close(fast(image), network(image), atol=1e-5, rtol=0)
    kinds = [type(module) for module in fast.modules()]
    assert nn.BatchNorm3d not in kinds
    assert nn.BatchNorm2d not in kinds


@pytest.mark.parametrize("name", list(registry.NETWORKS.names))
def test_every_network_can_be_frozen_and_is_left_as_it_was(name: str) -> None:
    torch.manual_seed(0)
    network = lived(registry.NETWORKS[name].example())
    image = torch.rand(registry.NETWORKS[name].example_shape)
    with torch.no_grad():
        before = network(image)
        torch.testing.assert_close(frozen(network)(image), before, atol=1e-5, rtol=0)
        assert torch.equal(network(image), before)
