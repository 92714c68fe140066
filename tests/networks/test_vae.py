"""Posteriors, priors and the VAE they make up."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE, CoderConfig, build_network
from fracture_vae.networks.gaussian import Gaussian, standard_log_density
from fracture_vae.networks.posteriors import build_posterior

SMALL = CoderConfig(shape=(1, 6, 6), latent=3, hidden=(8,))


def normal(q: Gaussian) -> Normal:
    return Normal(q.mean, (0.5 * q.log_variance).exp())


def test_gaussian_densities_and_divergence_are_torch_s() -> None:
    q = Gaussian(torch.randn(4, 3), torch.randn(4, 3))
    z = torch.randn(5, 4, 3)
    assert torch.allclose(q.log_density(z), normal(q).log_prob(z).sum(-1), atol=1e-5)
    assert torch.allclose(q.kl_to_standard(), kl_divergence(normal(q), Normal(0.0, 1.0)), atol=1e-5)
    assert torch.allclose(standard_log_density(z), Normal(0.0, 1.0).log_prob(z).sum(-1), atol=1e-5)


@pytest.mark.parametrize("log_variance", [0.0, -6.0, -14.0])
def test_densities_under_many_gaussians_are_the_direct_formula_s(log_variance: float) -> None:
    """To far below a nat even where z² / σ² is 10⁷, and under autocast, whose products have 8 bits."""
    torch.manual_seed(0)
    many = Gaussian(torch.randn(6, 16), log_variance + 0.1 * torch.randn(6, 16))
    z = many.mean[torch.tensor([[0, 1, 2, 3], [5, 5, 4, 0]])] + 1e-3 * torch.randn(2, 4, 16)
    exact = Gaussian(many.mean.double(), many.log_variance.double()).log_density(z.double().unsqueeze(-2))
    assert exact.shape == (2, 4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(many.log_densities(z).double(), exact, rtol=1e-9, atol=1e-5)


def test_draws_have_the_gaussian_s_moments() -> None:
    torch.manual_seed(0)
    q = Gaussian(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(4.0)]]))
    draws = q.sample(20_000)
    assert draws.shape == (20_000, 1, 2)
    assert torch.allclose(draws.mean(0), q.mean, atol=0.06)
    assert torch.allclose(draws.std(0), torch.tensor([[1.0, 2.0]]), atol=0.05)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 5), st.integers(1, 6), st.floats(0.01, 30), st.integers(0, 10**6))
def test_delta_posteriors_never_fall_below_their_floor(each: float, latent: int, scale: float, seed: int) -> None:
    torch.manual_seed(seed)
    floor = each * latent
    head = build_posterior("delta", 5, latent, floor)
    kl = head(scale * torch.randn(7, 5)).kl_to_standard().sum(1)
    assert kl.min() >= floor * (1 - 1e-3)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 5), st.integers(1, 6), st.sampled_from([1e-3, 1.0, 1e3]), st.integers(0, 10**6))
def test_batch_norm_posteriors_keep_their_floor_in_expectation(
    floor: float, latent: int, scale: float, seed: int
) -> None:
    """Whatever the scale of the means: a KL weight large enough shrinks them as far as it can."""
    torch.manual_seed(seed)
    head = build_posterior("batch_norm", 5, latent, floor).train()
    kl = head(scale * torch.randn(64, 5)).kl_to_standard().sum(1).mean()
    assert kl >= floor * (1 - 1e-2)


def test_the_scale_of_a_batch_norm_posterior_does_not_train() -> None:
    head = build_posterior("batch_norm", 5, 4, 2.0)
    assert not head.norm.weight.requires_grad
    assert torch.allclose(head.norm.weight, torch.full((4,), math.sqrt(2 * 2.0 / 4)))


def test_a_vamp_prior_is_the_mixture_of_its_pseudo_inputs_posteriors() -> None:
    torch.manual_seed(0)
    vae = VAE(SMALL, prior="vamp", prior_components=5).eval()
    q = vae.encode(vae.prior.inputs.sigmoid())
    mixture = MixtureSameFamily(Categorical(torch.ones(5)), Independent(normal(q), 1))
    z = torch.randn(7, 3)
    assert torch.allclose(vae.prior.log_density(z), mixture.log_prob(z), atol=1e-5)
    assert vae.prior.sample(9).shape == (9, 3)
    assert sum("inputs" in name for name, _ in vae.named_parameters()) == 1, "the posterior is the network's own"


def test_a_vamp_prior_makes_no_tensor_of_draws_by_components_by_dimensions() -> None:
    made: list[int] = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            made.extend(part.numel() for part in tree_leaves(out) if isinstance(part, torch.Tensor))
            return out

    vae = VAE(SMALL, prior="vamp", prior_components=60)
    z = torch.randn(5, 40, 3, requires_grad=True)
    with Sizes():
        vae.prior.log_density(z).sum().backward()
    assert z.grad is not None
    assert max(made) == 5 * 40 * 60


def test_the_divergence_of_a_vamp_prior_is_estimated_from_the_draw() -> None:
    vae = VAE(SMALL, prior="vamp", prior_components=2)
    q = vae.encode(torch.rand(4, 1, 6, 6))
    z = q.sample()
    assert torch.allclose(vae.kl(q, z)[:, 0], q.log_density(z) - vae.prior.log_density(z))


def test_evaluation_decodes_the_mean_and_training_a_draw() -> None:
    vae, x = VAE(SMALL), torch.rand(2, 1, 6, 6)
    assert not torch.equal(vae.train()(x), vae(x))
    vae.eval()
    assert torch.equal(vae(x), vae(x))
    assert torch.equal(vae(x), vae.decode(vae.encode(x).mean).sigmoid())


def test_it_is_built_from_plain_values() -> None:
    options = {"shape": [3, 32, 32], "architecture": "conv", "channels": [4, 8], "latent": 2, "posterior": "delta"}
    vae = build_network("vae", **options)
    assert vae.definition == {"name": "vae", **options}
    assert vae(torch.rand(2, 3, 32, 32)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"posterior": "gauss"}, "posterior 'gauss'"),
        ({"posterior": "delta", "kl_floor": 0.0}, "kl_floor is 0.0"),
        ({"prior": "normal"}, "prior 'normal'"),
        ({"prior": "vamp", "posterior": "delta"}, "posterior 'delta' keeps its floor from N\\(0, 1\\) alone"),
        ({"prior": "vamp", "posterior": "batch_norm"}, "set prior standard"),
        ({"prior": "vamp", "prior_components": 0}, "prior_components is 0"),
        ({"output": "tanh"}, "output 'tanh'"),
        ({"latnet": 3}, "latnet"),
    ],
)
def test_what_cannot_be_is_told(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        build_network("vae", **given)
