"""The VAE family's objectives: values by hand, bounds, and figures that do not depend on the batch."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE, VQVAE, Autoencoder, CoderConfig, VQVAEConfig, build_quantizer
from fracture_vae.networks.gaussian import Gaussian
from fracture_vae.objectives import (
    ELBO,
    IWAE,
    Autoencoding,
    InfoVAE,
    VQReconstruction,
    mmd,
    negative_log_likelihood,
)
from fracture_vae.objectives.iwae import log_mean_exp
from fracture_vae.objectives.likelihoods import likelihood

CONFIG = CoderConfig(shape=(1, 6, 6), latent=3, hidden=(8,))


class Deterministic(VAE):
    """A VAE whose draws are its means, so that figures can be compared."""

    def encode(self, x: Tensor) -> Gaussian:
        q = super().encode(x)
        return Gaussian(q.mean, torch.full_like(q.mean, -60.0))


class Fixed(VAE):
    """A VAE whose posterior is the same for every sample."""

    def encode(self, x: Tensor) -> Gaussian:
        mean = torch.tensor([0.0, 1.0, 2.0]).expand(len(x), 3)
        return Gaussian(mean, torch.zeros_like(mean))  # KL: 0, 0.5 and 2 nats


def images(count: int = 4) -> dict[str, Tensor]:
    return {"image": torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(0))}


def test_likelihoods_by_hand() -> None:
    decoded, x = torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([[1.0, 0.0]])  # probabilities ½ and ¾
    expected = math.log(2) + math.log(4)
    assert likelihood("bernoulli", "sigmoid")(decoded, x).item() == pytest.approx(expected)
    assert likelihood("bernoulli_logits", "sigmoid")(decoded, x).item() == pytest.approx(expected)
    assert likelihood("gaussian", "sigmoid")(decoded, x).item() == pytest.approx(0.5 * (0.25 + 0.5625))
    assert likelihood("gaussian", "identity")(decoded, x).item() == pytest.approx(0.5 * (1 + math.log(3.0) ** 2))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-12, 12), st.floats(0, 1)), min_size=1, max_size=20))
def test_both_bernoullis_agree_where_no_logarithm_is_clamped(pairs: list[tuple[float, float]]) -> None:
    decoded, x = torch.tensor([pairs], dtype=torch.float32).unbind(-1)
    a, b = (likelihood(name, "sigmoid")(decoded, x) for name in ("bernoulli", "bernoulli_logits"))
    assert torch.allclose(a, b, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("name", ["bernoulli", "bernoulli_logits", "gaussian"])
def test_figures_are_per_image_whatever_batch_size_and_reduction(reduction: str, name: str) -> None:
    torch.manual_seed(0)
    objective = ELBO(Deterministic(CONFIG).eval(), name, reduction)
    x = images(8)["image"]
    whole = objective({"image": x})
    ones = [objective({"image": row[None]}) for row in x]
    for term in ("total", "recon", "kl"):
        assert getattr(whole, term).item() == pytest.approx(sum(getattr(o, term).item() for o in ones) / 8, rel=1e-5)
    other = ELBO(objective.network, name, "sum" if reduction == "mean" else "mean")({"image": x})
    assert other.recon.item() == pytest.approx(whole.recon.item())
    assert other.kl.item() == pytest.approx(whole.kl.item())


OBJECTIVES: dict[str, Callable[[str], nn.Module]] = {
    "elbo": lambda reduction: ELBO(Deterministic(CONFIG), reduction=reduction, beta=2.0),
    "info_vae": lambda reduction: InfoVAE(Deterministic(CONFIG), reduction=reduction, alpha=1.0, scale=0.0),
    "iwae": lambda reduction: IWAE(Deterministic(CONFIG), reduction=reduction, samples=2),
    "autoencoding": lambda reduction: Autoencoding(Autoencoder(CONFIG), reduction=reduction, penalty="l2"),
    "vq": lambda reduction: VQReconstruction(
        VQVAE(VQVAEConfig(spatial_dims=2, channels=(4,)), build_quantizer("vq", num_codes=8, dim=3, init="normal")),
        reduction=reduction, per_image=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_reports_per_image_whatever_batch_size_and_reduction(name: str, reduction: str) -> None:
    def reported(reduction: str, size: int) -> list[float]:
        torch.manual_seed(0)
        objective = OBJECTIVES[name](reduction).eval()
        parts = [objective({"image": part}) for part in images(8)["image"].split(size)]
        shown = [term for term in parts[0]._fields if term in ("recon", "kl", "vq")]
        return [sum(getattr(part, term).item() for part in parts) / len(parts) for term in shown]

    assert reported(reduction, 8) == pytest.approx(reported("sum", 2), rel=1e-4, abs=1e-6)
    assert reported(reduction, 8)[0] > 1, "a sum over the values: their mean is below 0.1 where they are squared"


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 4), st.floats(0, 2), st.sampled_from([None, 3.0]))
def test_reductions_differ_in_scale_alone(beta: float, free_bits: float, capacity: float | None) -> None:
    """The mean's total times D is the sum's of β · D: free bits and capacity are nats before they are weighed."""
    network, values, totals = Fixed(CONFIG).eval(), 36, []
    for reduction, weight in (("sum", beta * values), ("mean", beta)):
        torch.manual_seed(0)
        objective = ELBO(network, reduction=reduction, beta=weight, free_bits=free_bits, capacity=capacity)
        totals.append(objective(images()).total.item())
    assert totals[1] * values == pytest.approx(totals[0], rel=1e-5)


def test_the_total_by_hand() -> None:
    network = Fixed(CONFIG).eval()
    terms = ELBO(network, beta=3.0)(images())
    assert terms.kl.item() == pytest.approx(2.5)
    assert terms.total.item() == pytest.approx(terms.recon.item() + 3 * 2.5, rel=1e-6)
    terms = ELBO(network, reduction="mean", beta=3.0)(images())
    assert terms.total.item() == pytest.approx(terms.recon.item() / 36 + 3 * 2.5, rel=1e-6)
    terms = ELBO(network, beta=3.0, capacity=2.0)(images())
    assert terms.total.item() == pytest.approx(terms.recon.item() + 3 * 0.5, rel=1e-6)


def test_free_bits_bound_the_kl_term_from_below_and_leave_the_report_alone() -> None:
    network = Fixed(CONFIG).eval()
    terms = ELBO(network, free_bits=1.0)(images())
    assert terms.kl.item() == pytest.approx(2.5)
    assert terms.total.item() - terms.recon.item() == pytest.approx(1 + 1 + 2, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 5), st.integers(0, 10**6))
def test_with_free_bits_the_kl_term_is_at_least_their_sum(free_bits: float, seed: int) -> None:
    torch.manual_seed(seed)
    terms = ELBO(VAE(CONFIG), free_bits=free_bits)(images())
    assert (terms.total - terms.recon).item() >= free_bits * 3 - 1e-3


def test_free_bits_of_a_vamp_prior_are_of_all_dimensions_together() -> None:
    torch.manual_seed(0)
    network = VAE(CONFIG, prior="vamp", prior_components=2)
    terms = ELBO(network, free_bits=50.0)(images())
    assert terms.kl.item() < 150
    assert (terms.total - terms.recon).item() == pytest.approx(50 * 3, rel=1e-4)


def test_a_schedule_sets_beta_without_a_new_graph() -> None:
    objective = ELBO(Fixed(CONFIG).eval())
    held = objective.beta
    objective.beta = 0.0
    assert objective.beta is held, "a tensor, so that a compiled step needs no recompiling"
    terms = objective(images())
    assert terms.total.item() == pytest.approx(terms.recon.item())
    assert not any("beta" in name for name in objective.state_dict())


def test_mmd_by_hand() -> None:
    a, b = torch.tensor([[0.0]]), torch.tensor([[2.0]])
    assert mmd(a, b, "rbf", 1.0).item() == pytest.approx(2 - 2 * math.exp(-2.0))
    assert mmd(a, b, "imq", 1.0).item() == pytest.approx(2 - 2 * 2 / (2 + 4))
    assert mmd(a, a, "rbf", 1.0).item() == pytest.approx(0, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from(["rbf", "imq"]), st.floats(0.1, 5), st.integers(0, 10**6))
def test_mmd_is_never_negative(n: int, m: int, kernel: str, bandwidth: float, seed: int) -> None:
    torch.manual_seed(seed)
    assert mmd(torch.randn(n, 3), 3 * torch.randn(m, 3), kernel, bandwidth) >= -1e-6


def test_info_vae_weighs_its_terms_as_in_its_paper() -> None:
    terms = InfoVAE(Fixed(CONFIG).eval(), alpha=0.25, scale=5.0)(images())
    expected = terms.recon + 0.75 * terms.kl + (0.25 + 5.0 - 1) * terms.penalty
    assert terms.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert InfoVAE(VAE(CONFIG)).bandwidth == pytest.approx(math.sqrt(3))
    assert InfoVAE(VAE(CONFIG), bandwidth=0.5).bandwidth == 0.5


def test_one_sample_makes_iwae_the_elbo() -> None:
    terms = IWAE(VAE(CONFIG).eval(), samples=1)(images())
    assert terms.total.item() == pytest.approx((terms.recon + terms.kl).item(), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10**6))
def test_iwae_is_never_worse_than_the_elbo_of_the_same_samples(samples: int, seed: int) -> None:
    torch.manual_seed(seed)
    terms = IWAE(VAE(CONFIG), samples=samples)(images())
    assert terms.total <= terms.recon + terms.kl + 1e-4


def test_the_evaluation_bound_finds_a_likelihood_known_exactly() -> None:
    """A decoder that ignores z has log p(x) = log p(x|z), whatever the posterior."""
    torch.manual_seed(0)
    vae, x = VAE(CONFIG).eval(), images()["image"]
    torch.nn.init.zeros_(vae.decoder.layers[0][0].weight)
    exact = likelihood("bernoulli_logits", "sigmoid")(vae.decode(torch.zeros(4, 3)), x)
    found = negative_log_likelihood(vae, x, samples=4000, chunk=1000)
    assert torch.allclose(found, exact.detach(), atol=0.15)


def test_log_mean_exp_by_hand() -> None:
    assert log_mean_exp(torch.log(torch.tensor([[1.0], [3.0]]))).item() == pytest.approx(math.log(2.0))


def test_autoencoder_penalties_by_hand() -> None:
    network = Autoencoder(CoderConfig(shape=(2,), latent=2, hidden=()), output="identity")
    with torch.no_grad():
        network.to_latent.weight.copy_(torch.eye(2))
        network.to_latent.bias.zero_()
        network.decoder.layers[0].weight.copy_(torch.diag(torch.tensor([2.0, 3.0])))
        network.decoder.layers[0].bias.zero_()
    batch = {"image": torch.tensor([[1.0, -2.0]])}
    assert Autoencoding(network, penalty="l1")(batch).penalty.item() == pytest.approx(3)
    assert Autoencoding(network, penalty="l2")(batch).penalty.item() == pytest.approx(2.5)
    assert Autoencoding(network)(batch).recon.item() == pytest.approx(0.5 * (1 + 16))
    torch.manual_seed(0)
    drawn = [Autoencoding(network, penalty="gradient")(batch).penalty.item() - 2.5 for _ in range(4000)]
    assert sum(drawn) / 4000 == pytest.approx(4 + 9, rel=0.05), "the squared norm of the Jacobian"


def test_a_denoising_autoencoder_sees_noise_in_training_only() -> None:
    network, batch = Autoencoder(CONFIG), images()
    clean = Autoencoding(network)(batch).recon
    denoising = Autoencoding(network, noise_std=0.5)
    assert denoising.train()(batch).recon != clean
    assert denoising.eval()(batch).recon == clean


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: ELBO(VAE(CONFIG), "bernouli"), "did you mean 'bernoulli'"),
        (lambda: ELBO(VAE(CONFIG, output="identity")), "set output to sigmoid"),
        (lambda: ELBO(VAE(CONFIG), reduction="none"), "reduction 'none'"),
        (lambda: ELBO(VAE(CONFIG), beta=-1), "beta is -1"),
        (lambda: ELBO(VAE(CONFIG), free_bits=-1), "free_bits is -1"),
        (lambda: InfoVAE(VAE(CONFIG), alpha=2), "alpha is 2"),
        (lambda: InfoVAE(VAE(CONFIG), alpha=0.1, scale=0.1), "their sum"),
        (lambda: InfoVAE(VAE(CONFIG), kernel="linear"), "kernel 'linear'"),
        (lambda: InfoVAE(VAE(CONFIG), bandwidth=0), "bandwidth is 0"),
        (lambda: IWAE(VAE(CONFIG), samples=0), "samples is 0"),
        (lambda: Autoencoding(Autoencoder(CONFIG), penalty="l3"), "penalty 'l3'"),
        (lambda: Autoencoding(Autoencoder(CONFIG), noise_std=-1), "noise_std is -1"),
    ],
)
def test_what_cannot_be_is_told(make: object, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        make()  # type: ignore[operator]
