"""The evidence lower bound, and the ways its KL term is kept in check."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE, CoderConfig
from fracture_vae.networks.gaussian import Gaussian
from fracture_vae.objectives.likelihoods import likelihood as likelihood_of
from fracture_vae.objectives.perceptual import FeatureDistance, feature_distance
from fracture_vae.objectives.restoring import Restored, seen
from fracture_vae.objectives.scale import recon_weight
from fracture_vae.objectives.schedulable import Schedulable
from fracture_vae.registry import OBJECTIVES


class VAETerms(NamedTuple):
    """Loss terms, each a scalar and a mean over the images of the batch; recon and kl in nats an image."""

    total: Tensor
    recon: Tensor  # -log p(x|z)
    kl: Tensor  # KL(q(z|x) || p(z)), as it is, whatever the objective makes of it
    penalty: Tensor  # what this objective adds beyond recon and kl, before its weight; 0 where there is none
    perceptual: Tensor  # distance of features before its weight; 0 where there is none


@OBJECTIVES.add_def("elbo", "VAE: -ELBO with β, free bits and a capacity for the KL term")
class ELBO(nn.Module):
    """total = w · recon + β · KL', or w · recon + β · \\|KL' - C\\| where a capacity C is set.

    β-VAE (Higgins et al. 2017); capacity (Burgess et al. 2018, arXiv:1804.03599, eq. 8, with β as their γ). KL' is
    the KL divergence or, with free bits λ, Σ_d max(λ, mean over the batch of KL_d) (Kingma et al. 2016,
    arXiv:1606.04934, eq. 15), which is at least λ · d. VampPrior's KL divergence has no parts by dimension: all d
    are one group there, max(λ · d, mean of KL).

    Args:
        network: a VAE.
        likelihood: ``bernoulli`` (on probabilities), ``bernoulli_logits`` or ``gaussian`` (unit variance: ½ MSE).
        reduction: ``sum`` or ``mean`` over a sample's values in the total; what is reported is per image in both.
        beta: β; a schedule may set it.
        free_bits: λ, nats a dimension.
        capacity: C, nats an image, or None; a schedule may set it.
        perceptual: distance of features between image and reconstruction to add, or None.
        perceptual_weight: of that.

    Raises:
        InputError: for a value out of range.
    """

    beta = Schedulable()
    capacity = Schedulable()
    term_names = VAETerms._fields

    def __init__(
        self,
        network: VAE,
        likelihood: str = "bernoulli_logits",
        reduction: str = "sum",
        beta: float = 1.0,
        free_bits: float = 0.0,
        capacity: float | None = None,
        perceptual: FeatureDistance | None = None,
        perceptual_weight: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("beta", beta),
            ("free_bits", free_bits),
            ("capacity", capacity or 0.0),
            ("perceptual_weight", perceptual_weight),
        ):
            if value < 0:
                raise InputError(f"{name} is {value}; it must be 0 or more")
        self.network = network
        self.free_bits = free_bits
        self.has_capacity = capacity is not None
        self.beta = beta
        self.capacity = capacity or 0.0
        self.perceptual = perceptual
        self.perceptual_weight = perceptual_weight
        self._recon_weight = recon_weight(reduction, network.config.shape)
        self._negative_log_likelihood = likelihood_of(likelihood, network.output)

    def forward(self, batch: Mapping[str, Tensor]) -> VAETerms:
        """Return the terms for ``batch["image"]`` of shape (B, *shape), of which the network sees ``corrupted``."""
        return self.restore(batch).terms

    def restore(self, batch: Mapping[str, Tensor]) -> Restored:
        """Return the terms and the reconstruction for a batch, as ``forward`` takes it."""
        x = batch["image"]
        q = self.network.encode(seen(batch))
        z = q.sample()
        decoded = self.network.decode(z)
        recon = self._negative_log_likelihood(decoded, x).mean()
        kl = self.network.kl(q, z)
        penalty = self._penalty(x, q, z)
        made = self.network.to_sample(decoded)
        apart = feature_distance(self.perceptual, x, made)
        total = self._recon_weight * recon + self._weigh(kl) + penalty[0] + self.perceptual_weight * apart
        return Restored(VAETerms(total, recon, kl.sum(-1).mean(), penalty[1], apart), made)

    def _weigh(self, kl: Tensor) -> Tensor:
        """Return the KL term of the total from KL divergences (B, d), or (B, 1) of all dimensions together."""
        by_dimension = kl.mean(0)
        free = self.free_bits * self.network.config.latent / len(by_dimension)
        counted = by_dimension.clamp(min=free).sum() if free else by_dimension.sum()
        return self.beta * ((counted - self.capacity).abs() if self.has_capacity else counted)

    def _penalty(self, x: Tensor, q: Gaussian, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return what an extension adds to the total, and what it reports as ``penalty``."""
        del x, q
        nothing = z.new_zeros(())
        return nothing, nothing

    @staticmethod
    def example() -> tuple["ELBO", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        return ELBO(small_vae()), {"image": torch.rand(4, 1, 8, 8)}


def small_vae() -> VAE:
    """Return a VAE for examples."""
    return VAE(CoderConfig(shape=(1, 8, 8), latent=3, hidden=(8,)))
