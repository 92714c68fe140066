"""The importance-weighted bound, as an objective and as the yardstick for every VAE."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE
from fracture_vae.objectives.elbo import ELBO, VAETerms, small_vae
from fracture_vae.objectives.restoring import Restored, seen
from fracture_vae.registry import OBJECTIVES


class Draws(NamedTuple):
    """k draws z of the posterior of every sample of a batch."""

    recon: Tensor
    """(k, B): -log p(x|z), nats."""
    divergence: Tensor
    """(k, B): log q(z|x) - log p(z), nats."""
    decoded: Tensor
    """(k, B, *shape), before the output function."""


@OBJECTIVES.add_def("iwae", "importance-weighted autoencoder: a bound from k samples")
class IWAE(ELBO):
    """total = -w · log (1/k) Σ_i p(x, z_i) / q(z_i|x) (Burda et al. 2016, arXiv:1509.00519, eq. 8).

    ``recon`` and ``kl`` are means over the k samples, so recon + kl is the ELBO's negative and total at most that.

    Args:
        network, likelihood, reduction: as for :class:`ELBO`.
        samples: k.

    Raises:
        InputError: for fewer than one sample.
    """

    def __init__(
        self, network: VAE, likelihood: str = "bernoulli_logits", reduction: str = "sum", samples: int = 5
    ) -> None:
        if samples < 1:
            raise InputError(f"samples is {samples}; it must be 1 or more")
        super().__init__(network, likelihood, reduction)
        self.samples = samples

    def restore(self, batch: Mapping[str, Tensor]) -> Restored:
        """Return the terms and the reconstruction, the mean over the draws, for a batch, as ``forward`` takes it."""
        drawn = self.draw(seen(batch), batch["image"], self.samples)
        total = -self._recon_weight * log_mean_exp(-(drawn.recon + drawn.divergence)).mean()
        nothing = drawn.recon.new_zeros(())
        terms = VAETerms(total, drawn.recon.mean(), drawn.divergence.mean(), nothing, nothing)
        return Restored(terms, self.network.to_sample(drawn.decoded).mean(0))

    def draw(self, given: Tensor, x: Tensor, samples: int) -> Draws:
        """Return what ``samples`` draws from the posteriors of ``given`` (B, *shape) explain of x (B, *shape)."""
        q = self.network.encode(given)
        z = q.sample(samples)
        decoded = self.network.decode(z.flatten(0, 1))
        repeated = x.expand(samples, *x.shape).flatten(0, 1)
        recon = self._negative_log_likelihood(decoded, repeated).unflatten(0, (samples, len(x)))
        divergence = q.log_density(z) - self.network.prior.log_density(z)
        return Draws(recon, divergence, decoded.unflatten(0, (samples, len(x))))

    @staticmethod
    def example() -> tuple["IWAE", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        return IWAE(small_vae(), samples=3), {"image": torch.rand(4, 1, 8, 8)}


def log_mean_exp(values: Tensor) -> Tensor:
    """Return log of the mean over the first axis of exp(values)."""
    return values.logsumexp(0) - math.log(len(values))


@torch.no_grad()
def negative_log_likelihood(
    network: VAE, x: Tensor, likelihood: str = "bernoulli_logits", samples: int = 500, chunk: int = 50
) -> Tensor:
    """Return the importance-weighted upper bound on -log p(x) of every sample (B,), in nats.

    Args:
        network: a VAE, in evaluation mode.
        x: (B, *shape).
        likelihood: as it was trained.
        samples: k; the bound tightens with it.
        chunk: draws at a time, which bounds the memory.
    """
    objective = IWAE(network, likelihood)
    weights = []
    for start in range(0, samples, chunk):
        drawn = objective.draw(x, x, min(chunk, samples - start))
        weights.append(-(drawn.recon + drawn.divergence))
    return -log_mean_exp(torch.cat(weights))
