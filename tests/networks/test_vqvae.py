"""The VQ-VAE network: shapes, configuration, export, checkpoints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fracture_vae.errors import InputError
from fracture_vae.networks import VQVAE, VQVAEConfig, build_quantizer, load_state
from fracture_vae.networks.dropout import HashedDropout, hashed_bytes
from fracture_vae.networks.folded import FoldedConvolution


def small_net(**options: object) -> VQVAE:
    """Two stages, 8x4 codes."""
    torch.manual_seed(0)
    config = VQVAEConfig(**{"channels": (4, 8), **options})
    return VQVAE(config, build_quantizer("vq", num_codes=8, dim=4))


def test_default_network_has_the_sizes_of_the_paper() -> None:
    network = VQVAE(VQVAEConfig(), build_quantizer("vq")).eval()
    assert network.downsampling == 16
    with torch.no_grad():
        z = network.encode(torch.rand(1, 1, 32, 48, 64))
        assert z.shape == (1, 256, 2, 3, 4)
        assert network.decode(z).shape == (1, 1, 32, 48, 64)
    assert network.codes(torch.rand(1, 1, 32, 32, 32)).shape == (1, 2, 2, 2)
    assert isinstance(network.from_quantizer, nn.Identity)  # dim equals the deepest channels


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("dims", [2, 3])
def test_output_lies_in_unit_range_and_gradients_reach_every_parameter(norm: str, dims: int) -> None:
    network = small_net(spatial_dims=dims, in_channels=2, norm=norm).train()
    x = torch.rand(2, 2, *(16,) * dims)
    out = network.reconstruct(x)
    assert out.reconstruction.shape == x.shape
    assert out.codes.shape == (2, *(4,) * dims)
    assert out.reconstruction.dtype == torch.float32
    assert 0 <= out.reconstruction.min() <= out.reconstruction.max() <= 1
    ((out.reconstruction - x).square().sum() + out.vq_loss).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_stages_are_convolution_norm_activation_dropout() -> None:
    kinds = [type(m) for m in small_net().encoder[0].modules() if not list(m.children())]
    assert kinds == [FoldedConvolution, nn.BatchNorm3d, nn.LeakyReLU, HashedDropout]


def test_same_image_gets_the_codes_of_its_reconstruction_path() -> None:
    network = small_net().eval()
    x = torch.rand(2, 1, 16, 16, 16)
    out = network.reconstruct(x)
    assert torch.equal(network.codes(x), out.codes)
    assert torch.equal(network.decode(network.quantizer.lookup(out.codes)), out.reconstruction)
    assert torch.equal(network(x), out.reconstruction)


def test_config_takes_lists_and_is_hashable() -> None:
    config = VQVAEConfig(**json.loads('{"channels": [4, 8], "norm": "group"}'))
    assert config == VQVAEConfig(channels=(4, 8), norm="group")
    assert len({config, VQVAEConfig(channels=(4, 8), norm="group")}) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spatial_dims": 4}, "spatial_dims is 4"),
        ({"channels": ()}, "channels is ()"),
        ({"channels": (8, 0)}, "channels is (8, 0)"),
        ({"channels": 32}, "channels is 32"),
        ({"norm": "layer"}, "norm is 'layer'"),
        ({"dropout": 1}, "dropout is 1"),
        ({"in_channels": 0}, "in_channels is 0"),
        ({"size": (28, 28)}, "size is (28, 28); it must be 3 whole numbers"),
        ({"size": 28}, "size is 28; it must be 3 whole numbers"),
        ({"size": (9, 8, 9)}, "size is (9, 8, 9); it must be above 8 on every axis for 4 stages"),
        ({"negative_slope": -0.1}, "negative_slope is -0.1"),
    ],
)
def test_wrong_config_is_one_line(options: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        VQVAEConfig(**options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_of_a_known_size_are_framed_with_zeros_and_their_reconstructions_cut() -> None:
    known = small_net(spatial_dims=2, size=[7, 10]).eval()
    any_size = small_net(spatial_dims=2).eval()
    any_size.load_state_dict(known.state_dict())
    x = torch.rand(2, 1, 7, 10)
    framed = torch.zeros(2, 1, 8, 12)
    framed[:, :, :7, 1:11] = x
    assert known.encode(x).shape == (2, 4, 2, 3)
    assert torch.equal(known.encode(x), any_size.encode(framed))
    assert torch.allclose(known(x), any_size(framed)[:, :, :7, 1:11])
    assert [part.shape[2:] for part in known.features(x)] == [(4, 6), (2, 3)]
    with pytest.raises(InputError, match=r"image size \(8, 12\) is not \(7, 10\), which the network was made for"):
        known(framed)


def test_size_that_does_not_divide_is_named() -> None:
    with pytest.raises(InputError, match=r"\(16, 18, 16\) is not a multiple of 4"):
        small_net()(torch.rand(1, 1, 16, 18, 16))


def test_dropout_keeps_the_mean_and_drops_the_stated_share() -> None:
    torch.manual_seed(0)
    x = torch.ones(2, 3, 51, 50, 50).to(memory_format=torch.channels_last_3d).requires_grad_()
    y = HashedDropout(0.1)(x)
    assert (y == 0).float().mean().item() == pytest.approx(26 / 256, abs=2e-3)
    assert y.mean().item() == pytest.approx(1, abs=3e-3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())  # the mask of the forward, not another
    assert torch.equal(HashedDropout(0.1).eval()(x), x)
    assert HashedDropout(0.0)(x) is x


def test_dropout_does_the_same_where_it_is_compiled() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    x = torch.full((2, 3, 51, 50, 50), 2.0, requires_grad=True)
    y = torch.compile(HashedDropout(0.1), backend="aot_eager")(x)
    assert (y == 0).float().mean().item() == pytest.approx(26 / 256, abs=2e-3)
    assert y[y != 0].unique().tolist() == pytest.approx([2 * 256 / 230])
    y.sum().backward()
    assert torch.equal(2 * x.grad, y.detach())


def test_what_is_dropped_tells_nothing_of_its_neighbours_or_of_the_next_step() -> None:
    torch.manual_seed(0)
    x = torch.ones(1, 16, 32, 32, 32)
    first, second = (hashed_bytes(x) < 64 for _ in range(2))
    assert first.float().mean().item() == pytest.approx(0.25, abs=3e-3)
    pairs = [(first, second)]
    for axis in range(1, 5):
        length = first.shape[axis] - 1
        pairs.append((first.narrow(axis, 0, length), first.narrow(axis, 1, length)))
    for a, b in pairs:
        assert (a & b).float().mean().item() == pytest.approx(0.25**2, abs=3e-3)


def test_state_round_trips_through_a_file_without_pickle(tmp_path: Path) -> None:
    network, other = small_net().train(), small_net(norm="batch")
    network(torch.rand(2, 1, 16, 16, 16))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    load_state(other, torch.load(tmp_path / "model.pt", weights_only=True), "model.pt")
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(network.eval()(x), other.eval()(x))


def test_weights_of_another_architecture_are_refused_whole() -> None:
    network = small_net()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(InputError, match=r"^run/model.pt: .*encoder.0.*has shape \(6, 1, 4, 4, 4\), not") as caught:
        load_state(network, small_net(channels=(6, 8)).state_dict(), "run/model.pt")
    assert "\n" not in str(caught.value)
    assert "values" in str(caught.value)
    with pytest.raises(InputError, match="is missing"):
        load_state(network, {}, "model.pt")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_trace_reloads_and_agrees(tmp_path: Path) -> None:
    network = small_net().eval()
    x = torch.rand(1, 1, 16, 16, 16)
    torch.jit.save(torch.jit.trace(network, x), tmp_path / "model.ts")
    loaded = torch.jit.load(tmp_path / "model.ts")
    for shape in ((1, 1, 16, 16, 16), (2, 1, 8, 16, 24)):
        y = torch.rand(shape)
        assert torch.allclose(loaded(y), network(y), atol=1e-6)


def test_export_reloads_and_agrees_for_other_sizes(tmp_path: Path) -> None:
    network = small_net().eval()
    steps = [torch.export.Dim(name, min=2, max=64) for name in "hwd"]
    shapes = ({2: 4 * steps[0], 3: 4 * steps[1], 4: 4 * steps[2]},)
    program = torch.export.export(network, (torch.rand(1, 1, 16, 20, 24),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    y = torch.rand(1, 1, 16, 8, 12)
    assert torch.allclose(loaded(y), network(y), atol=1e-6)
    assert not program.graph_signature.buffers_to_mutate


def test_network_compiles_to_one_training_graph() -> None:
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    network = small_net().train()
    compiled = torch.compile(network.reconstruct, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        out = compiled(torch.rand(2, 1, 16, 16, 16))
        (out.reconstruction.mean() + out.vq_loss).backward()
    assert counters["stats"]["unique_graphs"] == 1
    assert network.encoder[0][0].conv.weight.grad.any()


def test_bfloat16_autocast_stays_close_to_float32() -> None:
    network = small_net().eval()
    network.quantizer.initialise(network.encode(torch.rand(4, 1, 16, 16, 16)).movedim(1, -1).reshape(-1, 4))
    z = network.quantizer.lookup(torch.arange(8).reshape(1, 2, 2, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(network.decode(z), network.decode(z).float(), atol=0.02)
        assert network(torch.rand(1, 1, 16, 16, 16)).dtype == torch.float32


def test_monai_bundle_verifies_and_exports(tmp_path: Path) -> None:
    """``verify_net_in_out`` and a traced ``ckpt_export`` of a minimal bundle, as its command line runs them."""
    image = {
        "type": "image", "format": "magnitude", "num_channels": 1, "spatial_shape": ["4*n", "4*n", "4*n"],
        "dtype": "float32", "value_range": [0, 1], "is_patch_data": False, "channel_def": {"0": "image"},
    }  # fmt: skip
    metadata = {"network_data_format": {"inputs": {"image": image}, "outputs": {"pred": image}}}
    config = {
        "network_def": {
            "_target_": "fracture_vae.networks.VQVAE",
            "config": {"_target_": "fracture_vae.networks.VQVAEConfig", "channels": [4, 8]},
            "quantizer": {"_target_": "fracture_vae.networks.build_quantizer", "name": "vq", "num_codes": 8, "dim": 4},
        }
    }
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "train.json").write_text(json.dumps(config))
    network = small_net().eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    common = ["--meta_file", "metadata.json", "--config_file", "train.json"]
    verify = ["verify_net_in_out", "network_def", *common, "--device", "cpu", "--n", "4"]
    export = ["ckpt_export", "network_def", *common, "--filepath", "model.ts", "--ckpt_file", "model.pt"]
    for command in (verify, [*export, "--use_trace", "True", "--input_shape", "[1,1,16,16,16]"]):
        done = subprocess.run(
            [sys.executable, "-m", "monai.bundle", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.allclose(torch.jit.load(tmp_path / "model.ts")(x), network(x), atol=1e-6)
