"""The detector: its reconstruction is the reconstructor's, and its head sees image, reconstruction and difference."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks import VQVAE, Detector, UNet, UNetConfig, build_network, find_vqvae, load_state

VQ = {"name": "vqvae", "channels": [4, 8], "quantizer_options": {"num_codes": 8, "dim": 4}}
HEAD = {"channels": [4, 8]}


def small(reconstructor: dict | None = None, head: dict | None = None, **options: str) -> Detector:
    torch.manual_seed(0)
    network = build_network("detector", reconstructor=reconstructor or VQ, head=head or HEAD, **options)
    assert isinstance(network, Detector)
    return network


class Constant(nn.Module):
    """A reconstructor that answers with one learned value everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand_as(x)


def test_forward_is_the_reconstructor_s_alone() -> None:
    network, x = small().eval(), torch.rand(2, 1, 16, 16, 16)
    assert torch.equal(network(x), network.reconstructor(x))
    assert network.locate(x, network(x)).shape == (2, 1, 16, 16, 16)


def test_the_head_sees_image_reconstruction_and_their_absolute_difference() -> None:
    network, x = Detector(Constant(0.25), UNetConfig(channels=(4, 8))).eval(), torch.rand(1, 1, 8, 8, 8)
    given: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    network.locate(x, network(x))
    assert torch.equal(given[0][:, 0:1], x)
    assert given[0][:, 1:2].unique().tolist() == [0.25]
    torch.testing.assert_close(given[0][:, 2:3], (x - 0.25).abs())


def test_a_head_that_sees_the_image_alone_knows_no_reconstruction() -> None:
    network, x = small(sees="image").eval(), torch.rand(1, 1, 8, 8, 8)
    found = network.locate(x)
    assert torch.equal(found, network.locate(x, torch.rand_like(x)))
    again = build_network(**json.loads(json.dumps(network.definition)))
    load_state(again, network.state_dict(), "model.pt")
    assert torch.equal(again.eval().locate(x), found)  # type: ignore[operator]


def test_a_head_that_sees_the_image_starts_the_same_whatever_stands_beside_it() -> None:
    heads = []
    for reconstructor in (None, VQ, {**VQ, "channels": [8, 8]}):
        torch.manual_seed(5)
        heads.append(build_network("detector", reconstructor=reconstructor, head=HEAD, sees="image").head.state_dict())
    assert all(torch.equal(heads[0][name], other[name]) for other in heads[1:] for name in heads[0])
    torch.manual_seed(6)
    another = build_network("detector", reconstructor=None, head=HEAD, sees="image").head.state_dict()
    assert not all(torch.equal(heads[0][name], another[name]) for name in another)


def test_what_a_head_sees_is_one_of_two() -> None:
    with pytest.raises(InputError, match="sees difference, image; not 'residual'"):
        small(sees="residual")


def test_the_head_does_not_teach_the_reconstructor() -> None:
    network = small().train()
    x = torch.rand(2, 1, 16, 16, 16)
    network.locate(x, network(x)).square().mean().backward()
    assert all(p.grad is None for p in network.reconstructor.parameters())
    assert all(p.grad is not None and p.grad.any() for p in network.head.parameters())


def test_an_untrained_head_finds_little() -> None:
    network = small().eval()
    x = torch.rand(2, 1, 16, 16, 16)
    probability = network.locate(x, network(x)).sigmoid().mean().item()
    assert 0.005 < probability < 0.08


def test_sizes_suit_reconstructor_and_head() -> None:
    assert small().downsampling == 4
    assert small(head={"channels": [4, 4, 4, 8]}).downsampling == 8
    assert small({"name": "unet", "channels": [4, 4, 8]}).downsampling == 4
    with pytest.raises(InputError, match=r"\(12, 16, 16\) is not a multiple of 8"):
        small(head={"channels": [4, 4, 4, 8]}).locate(*torch.rand(2, 1, 1, 12, 16, 16))


def test_a_checkpoint_s_definition_builds_it_again() -> None:
    network = small()
    again = build_network(**json.loads(json.dumps(network.definition)))
    load_state(again, network.state_dict(), "model.pt")
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(network.eval().locate(x, x / 2), again.eval().locate(x, x / 2))


def test_the_vq_vae_inside_is_found() -> None:
    network = small()
    assert isinstance(network.reconstructor, VQVAE)
    assert find_vqvae(network) is network.reconstructor
    assert find_vqvae(network.reconstructor) is network.reconstructor
    assert find_vqvae(UNet(UNetConfig(channels=(4, 8)))) is None


def test_a_level_reaches_a_reconstructor_that_takes_one_and_no_other() -> None:
    x, level = torch.rand(2, 1, 16, 16, 16), torch.tensor([1, 3])
    told = small({**VQ, "levels": 3}).eval()
    assert told.takes_level
    nn.init.normal_(told.reconstructor.level.vectors.weight)
    assert torch.equal(told(x, level), told.reconstructor(x, level))
    assert not torch.equal(told(x, level), told(x))
    plain = small({"name": "unet", "channels": [4, 8]}).eval()
    assert not plain.takes_level
    assert torch.equal(plain(x, level), plain(x))


class Logits(nn.Module):
    """The finer call, for exporters that take a module."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.locate(x, self.network(x))


@pytest.mark.parametrize("finer", [False, True], ids=["forward", "logits"])
def test_trace_and_export_agree_for_other_sizes(tmp_path: Path, finer: bool) -> None:
    network: nn.Module = small().eval()
    network = Logits(network).eval() if finer else network  # type: ignore[arg-type]
    x, y = torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 8, 16, 24)
    torch.jit.save(torch.jit.trace(network, x), tmp_path / "model.ts")
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(y), network(y), atol=1e-5, rtol=0)
    steps = [torch.export.Dim(name, min=2, max=64) for name in "hwd"]
    shapes = ({2: 4 * steps[0], 3: 4 * steps[1], 4: 4 * steps[2]},)
    program = torch.export.export(network, (torch.rand(1, 1, 16, 20, 24),), dynamic_shapes=shapes)
    torch.testing.assert_close(program.module()(y), network(y), atol=1e-5, rtol=0)


def test_it_works_on_images() -> None:
    ae = {"name": "autoencoder", "shape": [1, 28, 28], "latent": 3, "hidden": [8]}
    network = small(ae, {"spatial_dims": 2, "channels": [4, 4, 8]}).eval()
    x = torch.rand(2, 1, 28, 28)
    assert network.downsampling == 4
    assert network.locate(x, network(x)).shape == x.shape
    assert torch.equal(network(x), network.reconstructor(x))


def test_a_head_looks_at_its_window_and_marks_nothing_elsewhere() -> None:
    network = Detector(None, UNetConfig(channels=(4, 8)), window=[[0.25, 0.75], [0.5, 1], [0, 1]]).eval()
    x = torch.rand(2, 1, 16, 16, 16)
    given: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    probability = network.locate(x).sigmoid()
    assert torch.equal(given[0], x[:, :, 4:12, 8:16])
    outside = torch.ones(16, 16, 16, dtype=torch.bool)
    outside[4:12, 8:16] = False
    assert probability[:, 0, outside].max() < 1e-8 < probability[:, 0, ~outside].min()
    changed = x.clone()
    changed[:, 0, outside] = 0
    assert torch.equal(network.locate(changed), network.locate(x))


@pytest.mark.parametrize("size", [8, 10, 12, 18])
def test_a_window_is_as_long_as_the_head_takes_whatever_the_image_s_size(size: int) -> None:
    network = Detector(None, UNetConfig(channels=(4, 8)), window=[[0.3, 0.7], [0.41, 0.91], [0.9, 1]]).eval()
    assert network.locate(torch.rand(1, 1, size, size, size)).shape == (1, 1, size, size, size)


@pytest.mark.parametrize("window", [[[0, 1], [0, 1]], [[0, 1], [0, 1], [0.5, 0.5]], [[0, 1], [0, 1], [0.5, 1.5]]])
def test_a_window_that_is_no_part_of_an_image_is_refused(window: list[list[float]]) -> None:
    with pytest.raises(InputError, match="give from and to"):
        Detector(None, UNetConfig(channels=(4, 8)), window=window)


def test_a_head_alone_sees_the_image_and_reconstructs_nothing() -> None:
    network, x = Detector(None, UNetConfig(channels=(4, 8))).eval(), torch.rand(2, 1, 8, 8, 8)
    assert torch.equal(network(x), x)
    assert torch.equal(network.locate(x), network.locate(x, torch.zeros_like(x)))
    assert not network.takes_level
