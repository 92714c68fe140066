"""Scores by hand, and against scikit-image, SciPy and the network's own parts."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.maps.scores import Seen, build_score
from fracture_vae.maps.scores.filters import gaussian
from fracture_vae.networks import build_network


def pair(seed: int = 0, shape: tuple[int, ...] = (2, 1, 12, 10, 11)) -> Seen:
    """Random images and reconstructions."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
    return Seen(x, reconstruction=y)


RESIDUALS = ("l1", "l2", "signed", "gradient", "multi_scale", "ssim", "ssim_contrast")


@pytest.mark.parametrize("name", RESIDUALS)
@given(seed=st.integers(0, 100))
@settings(max_examples=5, deadline=None)
def test_residuals_vanish_where_the_reconstruction_is_perfect(name: str, seed: int) -> None:
    x = pair(seed).image
    assert build_score(name)(Seen(x, reconstruction=x.clone())).abs().max() < 1e-5


def test_residuals_are_means_over_channels() -> None:
    image = torch.tensor([[[1.0, 0.0]], [[0.0, 0.5]]])[None]
    seen = Seen(image, reconstruction=torch.tensor([[[0.5, 0.0]], [[1.0, 0.5]]])[None])
    assert build_score("l1")(seen).tolist() == [[[[0.75, 0.0]]]]
    assert build_score("l2")(seen).tolist() == [[[[(0.25 + 1) / 2, 0.0]]]]
    assert build_score("signed")(seen).tolist() == [[[[-0.25, 0.0]]]]
    assert build_score("signed", sign=-1)(seen).tolist() == [[[[0.25, 0.0]]]]


def test_the_gradient_of_a_ramp_is_its_slope_and_a_shift_in_brightness_has_none() -> None:
    ramp = torch.arange(8.0)[:, None, None].expand(8, 6, 5)[None, None] / 10
    nothing = torch.zeros_like(ramp)
    torch.testing.assert_close(
        build_score("gradient")(Seen(ramp, reconstruction=nothing)), torch.full_like(ramp, 0.1), atol=1e-6, rtol=0
    )
    assert not build_score("gradient")(Seen(nothing + 0.3, reconstruction=nothing)).any()


def test_coarse_scales_forget_what_alternates_and_keep_what_persists() -> None:
    index = torch.arange(8)
    chequered = ((index[:, None, None] + index[None, :, None] + index[None, None]) % 2).float()[None, None] - 0.5
    nothing = torch.zeros_like(chequered)
    score = build_score("multi_scale", scales=3)
    assert score(Seen(chequered, reconstruction=nothing)).flatten().tolist() == pytest.approx([0.5 / 3] * 512)
    even = torch.full_like(chequered, 0.5)
    assert score(Seen(even, reconstruction=nothing)).flatten().tolist() == pytest.approx([0.5] * 512)


@pytest.mark.parametrize("shape", [(14, 17, 12), (20, 16)], ids=["3d", "2d"])
@pytest.mark.parametrize("sigma", [1.5, 0.8])
def test_ssim_is_scikit_image_s(shape: tuple[int, ...], sigma: float) -> None:
    seen = pair(shape=(2, 1, *shape))
    ours = 1 - build_score("ssim", sigma=sigma)(seen)
    for own, x, y in zip(ours, seen.image, seen.reconstruction, strict=True):
        _, theirs = structural_similarity(
            x[0].double().numpy(), y[0].double().numpy(), data_range=1, gaussian_weights=True, sigma=sigma,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        np.testing.assert_allclose(own[0], theirs, atol=2e-4)


def test_ssim_contrast_does_not_see_a_shift_in_brightness_which_ssim_does() -> None:
    x = pair().image * 0.5
    shifted = Seen(x, reconstruction=x + 0.3)
    assert build_score("ssim_contrast")(shifted).abs().max() < 1e-4
    assert build_score("ssim")(shifted).mean() > 0.1


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=3), sigma=st.floats(0.3, 4))
@settings(max_examples=25, deadline=None)
def test_the_gaussian_is_scipy_s_at_the_ends_too(sizes: list[int], sigma: float) -> None:
    image = torch.rand(1, 2, *sizes, generator=torch.Generator().manual_seed(0))
    ours = gaussian(image, [sigma] * len(sizes))
    for channel, own in zip(image[0], ours[0], strict=True):
        theirs = ndimage.gaussian_filter(channel.double().numpy(), sigma, mode="reflect", truncate=3.5)
        np.testing.assert_allclose(own, theirs, atol=1e-5)


def vqvae() -> Any:
    torch.manual_seed(0)
    return build_network(name="vqvae", channels=[4, 8], quantizer_options={"num_codes": 16, "dim": 8}).eval()


@torch.no_grad()
def test_code_distance_is_zero_exactly_where_vectors_are_codes() -> None:
    network = vqvae()
    seen = Seen(torch.rand(1, 1, 16, 16, 16), network)
    distance = build_score("code_distance")(seen)
    z = network.encode(seen.image)
    codes = network.quantizer.lookup(network.codes(seen.image))
    expected = (z - codes).square().mean(1).sqrt()
    coarse = distance[0, 0].reshape(4, 4, 4, 4, 4, 4).mean((1, 3, 5))
    assert torch.corrcoef(torch.stack([coarse.flatten(), expected.flatten()]))[0, 1] > 0.9
    seen.__dict__["encoded"] = codes
    assert build_score("code_distance")(seen).abs().max() < 1e-6


@torch.no_grad()
def test_features_of_opposite_directions_are_at_distance_four_and_scale_does_not_count() -> None:
    class TwoWays(nn.Module):
        def features(self, x: Tensor) -> tuple[Tensor, ...]:
            coarse = x[..., ::2, ::2, ::2]
            return torch.cat([coarse, -coarse], 1), 3 * torch.cat([coarse, coarse], 1)

    x = torch.rand(1, 1, 8, 8, 8) + 0.5
    score = build_score("feature")
    same = Seen(x, TwoWays(), reconstruction=2 * x)
    assert score(same).abs().max() < 1e-5
    opposite = Seen(x, TwoWays(), reconstruction=-x)
    torch.testing.assert_close(score(opposite), torch.full_like(x, 4.0), atol=1e-4, rtol=0)


@torch.no_grad()
def test_what_is_seen_is_computed_once() -> None:
    network, calls = vqvae(), []
    network.encoder.register_forward_hook(lambda *_: calls.append(1))
    seen = Seen(torch.rand(1, 1, 16, 16, 16), network)
    build_score("code_distance")(seen)
    build_score("code_distance")(seen)
    assert torch.equal(seen.reconstruction, network(seen.image))
    assert len(calls) == 2, "once for what was seen, once for the comparison"


def test_a_level_reaches_a_network_that_takes_one() -> None:
    class Level(nn.Module):
        takes_level = True

        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            return x * 0 + level[:, None, None, None, None]

    x = torch.rand(2, 1, 4, 4, 4)
    assert Seen(x, Level(), level=torch.tensor([3, 5])).reconstruction[:, 0, 0, 0, 0].tolist() == [3, 5]
    assert torch.equal(Seen(x, nn.Identity(), level=torch.tensor([3, 5])).reconstruction, x)


def test_intensity_and_volume_look_at_the_image_alone() -> None:
    image = torch.tensor([0.0, 0.2, 0.0, 0.7]).reshape(1, 1, 2, 2, 1)
    seen = Seen(image)
    assert torch.equal(build_score("intensity")(seen), image)
    assert torch.equal(build_score("intensity", sign=-1)(seen), 1 - image)
    assert build_score("volume")(seen).mean() == 2
    assert build_score("volume", threshold=0.5, sign=-1)(seen).mean() == -1


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("signed", {"sign": 2}, "sign 2 must be 1 or -1"),
        ("intensity", {"sign": 0}, "sign 0 must be 1 or -1"),
        ("volume", {"sign": 0}, "sign 0 must be 1 or -1"),
        ("volume", {"threshold": "x"}, "threshold 'x' must be a number"),
        ("multi_scale", {"scales": 0}, "scales 0 must be"),
        ("ssim", {"sigma": 0}, "sigma 0 of an SSIM score"),
        ("l1", {"sigma": 1}, "score 'l1'"),
    ],
)
def test_options_out_of_range_are_told(name: str, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        build_score(name, **options)
