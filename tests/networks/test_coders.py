"""Encoders and decoders fit any size, mirror each other, and refuse what cannot be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.errors import InputError
from fracture_vae.networks.coders import ACTIVATIONS, CoderConfig, build_coders
from fracture_vae.networks.coders.activations import SwiGLU
from fracture_vae.networks.coders.modulated import ModulatedDecoder

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 17, 30), (2, 9, 10, 11), (50,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("architecture", ["mlp", "conv"])
@pytest.mark.parametrize("extra_stage", [False, True])
@pytest.mark.parametrize("decoder", ["plain", "modulated"])
def test_a_sample_comes_back_in_its_shape(
    shape: tuple[int, ...], architecture: str, extra_stage: bool, decoder: str
) -> None:
    if architecture == "conv" and len(shape) == 1:
        with pytest.raises(InputError, match="architecture conv"):
            CoderConfig(shape=shape, architecture=architecture)
        return
    if architecture == "mlp" and decoder == "modulated":
        with pytest.raises(InputError, match="decoder 'modulated' is of convolutions; set architecture conv"):
            CoderConfig(shape=shape, architecture=architecture, decoder=decoder)
        return
    config = CoderConfig(
        shape=shape, architecture=architecture, latent=5, hidden=(7,), channels=(4, 6), extra_stage=extra_stage,
        decoder=decoder,
    )  # fmt: skip
    encoder, decoder = build_coders(config)
    features = encoder(torch.rand(2, *shape))
    assert features.shape == (2, encoder.features)
    assert decoder(torch.rand(2, 5)).shape == (2, *shape)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_every_activation_and_norm_gives_finite_features_of_the_stated_width(
    activation: str, norm: str, architecture: str
) -> None:
    config = CoderConfig(
        shape=(1, 8, 8), architecture=architecture, hidden=(6,), channels=(4,), activation=activation, norm=norm,
        dropout=0.2,
    )  # fmt: skip
    encoder, _ = build_coders(config)
    features = encoder(torch.rand(3, 1, 8, 8))
    assert features.shape[1] == encoder.features == (6 if architecture == "mlp" else 4 * 4 * 4)
    assert features.isfinite().all()


def test_the_latent_vector_alone_sets_mean_and_spread_of_a_modulated_decoder_s_channels() -> None:
    torch.manual_seed(0)
    config = CoderConfig(shape=(1, 8, 8), architecture="conv", channels=(4, 6), latent=3, decoder="modulated")
    _, decoder = build_coders(config)
    assert isinstance(decoder, ModulatedDecoder)
    stage, z = decoder.stages[0], torch.rand(2, 3)
    stage.after = torch.nn.Identity()
    with torch.no_grad():
        style = decoder.style(z)
        scale, shift = stage.modulation(style).chunk(2, 1)
        made = stage(torch.rand(2, 6, 2, 2), style)
    torch.testing.assert_close(made.mean((2, 3)), shift, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made.std((2, 3), unbiased=False), (1 + scale).abs(), atol=1e-2, rtol=1e-2)


def test_the_decoder_mirrors_the_encoder_s_widths() -> None:
    encoder, decoder = build_coders(CoderConfig(shape=(30,), hidden=(20, 10), latent=4))
    widths = [module.out_features for module in encoder.modules() if isinstance(module, torch.nn.Linear)]
    assert widths == [20, 10]
    widths = [module.out_features for module in decoder.modules() if isinstance(module, torch.nn.Linear)]
    assert widths == [10, 20, 30]


def test_without_hidden_layers_encoder_and_decoder_are_linear() -> None:
    encoder, decoder = build_coders(CoderConfig(shape=(4,), hidden=(), latent=2))
    x = torch.rand(3, 4)
    assert torch.equal(encoder(x), x)
    a, b, zero = torch.rand(1, 2), torch.rand(1, 2), torch.zeros(1, 2)
    assert torch.allclose(decoder(a + b), decoder(a) + decoder(b) - decoder(zero), atol=1e-6)


def test_swiglu_by_hand_and_the_layer_norm_it_brings() -> None:
    assert SwiGLU()(torch.tensor([[3.0, 0.0]])).item() == 0
    assert SwiGLU()(torch.tensor([[3.0, 2.0]])).item() == pytest.approx(3 * 2 / (1 + 2.718281828**-2))
    assert CoderConfig(activation="swiglu", norm="none").norm == "layer"


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 40), st.integers(4, 40), st.integers(1, 2))
def test_any_image_size_passes(height: int, width: int, stages: int) -> None:
    config = CoderConfig(shape=(1, height, width), architecture="conv", channels=(2,) * stages, latent=2)
    encoder, decoder = build_coders(config)
    assert encoder(torch.rand(1, 1, height, width)).shape == (1, encoder.features)
    assert decoder(torch.rand(1, 2)).shape == (1, 1, height, width)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"architecture": "cnn"}, "architecture 'cnn' is not one of mlp, conv"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"norm": "group"}, "norm 'group'"),
        ({"shape": [28, 28]}, "shape is"),
        ({"shape": [1, 2, 28], "architecture": "conv"}, "at least 4 along every axis"),
        ({"latent": 0}, "latent is 0"),
        ({"latent": True}, "latent is True"),
        ({"hidden": [5, 0]}, "hidden is"),
        ({"channels": [], "architecture": "conv"}, "channels is"),
        ({"dropout": 1}, "dropout is 1"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_is_told(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint.replace("(", r"\(")) as error:
        CoderConfig(**given)
    assert "\n" not in str(error.value)
