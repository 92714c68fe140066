"""From an encoder's features to q(z|x): a plain Gaussian, or one whose KL divergence cannot vanish by construction."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.gaussian import Gaussian

_LOG_VARIANCE = (-14.0, 10.0)  # exp() of what lies beyond overflows or rounds to 0 in half precision
MOST_FLOOR = 5.0
"""Largest KL divergence (nats a dimension) a posterior can be held to: δ-VAE's σ is 0.004 there, near that limit."""

_EPSILON = 1e-12
"""Of BN-VAE's normalisation: beside PyTorch's 1e-5, a large KL weight shrinks the means until the floor gives way."""


class GaussianHead(nn.Module):
    """Mean and log variance, each a linear function of the features."""

    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, latent)
        self.log_variance = nn.Linear(features, latent)

    def forward(self, features: Tensor) -> Gaussian:
        """Return q(z|x), (B, latent), of features (B, F)."""
        return Gaussian(self.mean(features).float(), self.log_variance(features).float().clamp(*_LOG_VARIANCE))


class BatchNormHead(GaussianHead):
    """BN-VAE: means are batch-normalised with a fixed scale γ, so that E[KL] ≥ d γ² / 2.

    Zhu et al. 2020, "A Batch Normalized Inference Network Keeps the KL Vanishing Away" (arXiv:2004.12585), eq. 8;
    the shift stays learnable, as there.

    Args:
        features, latent: sizes.
        floor: the expected KL divergence (nats an image) that is kept; γ = sqrt(2 · floor / latent).
    """

    def __init__(self, features: int, latent: int, floor: float) -> None:
        super().__init__(features, latent)
        self.norm = nn.BatchNorm1d(latent, eps=_EPSILON)
        self.norm.weight.requires_grad_(False)
        self.norm.weight.fill_(math.sqrt(2 * floor / latent))

    def forward(self, features: Tensor) -> Gaussian:
        """Return q(z|x), (B, latent), of features (B, F)."""
        plain = super().forward(features)
        return Gaussian(self.norm(plain.mean).float(), plain.log_variance)


class DeltaHead(GaussianHead):
    """δ-VAE for independent latents: standard deviations stay below the σ at which KL = δ whatever the mean.

    Razavi et al. 2019, "Preventing Posterior Collapse with delta-VAEs" (arXiv:1901.03416), section 2.1: a family of
    posteriors that cannot contain the prior. Here (σ² - 1 - ln σ²) / 2 = δ / d bounds σ from above.

    Args:
        features, latent: sizes.
        floor: δ, the KL divergence (nats an image) every posterior exceeds.
    """

    def __init__(self, features: int, latent: int, floor: float) -> None:
        super().__init__(features, latent)
        self.ceiling = _log_variance_with_kl(floor / latent)

    def forward(self, features: Tensor) -> Gaussian:
        """Return q(z|x), (B, latent), of features (B, F)."""
        plain = super().forward(features)
        below = nn.functional.softplus(plain.log_variance)
        return Gaussian(plain.mean, (self.ceiling - below).clamp(min=_LOG_VARIANCE[0]))


def _log_variance_with_kl(kl: float) -> float:
    """Return ln σ² < 0 with (σ² - 1 - ln σ²) / 2 = kl, by bisection."""
    low, high = -2 * kl - 1, 0.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * (math.exp(middle) - 1 - middle) > kl else (low, middle)
    return low


POSTERIORS: Mapping[str, Callable[[int, int, float], nn.Module]] = {
    "gaussian": lambda features, latent, _: GaussianHead(features, latent),
    "batch_norm": BatchNormHead,
    "delta": DeltaHead,
}

FLOORED = ("batch_norm", "delta")
"""Those whose KL divergence from N(0, 1), and from no other prior, cannot vanish."""


def build_posterior(name: str, features: int, latent: int, floor: float) -> nn.Module:
    """Return the head called ``name``; ``floor`` (nats an image) is what ``FLOORED`` keep.

    Raises:
        InputError: for an unknown name, or a floor that is not above 0 where it counts.
    """
    if name not in POSTERIORS:
        raise InputError(f"posterior '{name}' is not one of {', '.join(POSTERIORS)}")
    if name in FLOORED and not 0 < floor <= MOST_FLOOR * latent:
        raise InputError(f"kl_floor is {floor}; it must be above 0 nats and at most {MOST_FLOOR:g} a latent dimension")
    with torch.no_grad():
        return POSTERIORS[name](features, latent, floor)
