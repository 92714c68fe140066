"""Deterministic autoencoders: plain, sparse, denoising and regularised reconstruction."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError, nearest
from fracture_vae.networks import Autoencoder, CoderConfig
from fracture_vae.objectives.likelihoods import likelihood as likelihood_of
from fracture_vae.objectives.perceptual import FeatureDistance, feature_distance
from fracture_vae.objectives.restoring import Restored, seen
from fracture_vae.objectives.scale import recon_weight
from fracture_vae.registry import OBJECTIVES

PENALTIES = ("none", "l1", "l2", "gradient")


class AETerms(NamedTuple):
    """Loss terms, each a scalar and a mean over the images of the batch."""

    total: Tensor
    recon: Tensor  # -log p(x|z), nats an image
    penalty: Tensor  # of the latent code or the decoder, before its weight
    perceptual: Tensor  # distance of features before its weight; 0 where there is none


@OBJECTIVES.add_def("autoencoding", "reconstruction, from a noisy input if asked, with a penalty on code or decoder")
class Autoencoding(nn.Module):
    """total = w · recon + weight · penalty.

    ``l1``: Σ\\|z\\|, a sparse autoencoder. ``l2``: ½ \\|z\\|², RAE-L2 with the optimizer's weight decay on the decoder
    (Ghosh et al. 2020, "From Variational to Deterministic Autoencoders", arXiv:1903.12436, eq. 5). ``gradient``:
    ½ \\|z\\|² + \\|∇_z D(z)\\|² , RAE-GP (ibid., eq. 8), the norm of the decoder's Jacobian estimated with one random
    direction v: E\\|∇_z (v · D(z))\\|² for v of unit normal entries.

    Args:
        network: an autoencoder.
        likelihood, reduction: as for :class:`~fracture_vae.objectives.elbo.ELBO`.
        penalty: ``none``, ``l1``, ``l2`` or ``gradient``.
        weight: of the penalty.
        noise_std: standard deviation of Gaussian noise on the input in training; the clean sample is the target
            (Vincent et al. 2008).
        perceptual, perceptual_weight: as for :class:`~fracture_vae.objectives.elbo.ELBO`.

    Raises:
        InputError: for a value out of range.
    """

    term_names = AETerms._fields

    def __init__(
        self,
        network: Autoencoder,
        likelihood: str = "gaussian",
        reduction: str = "sum",
        penalty: str = "none",
        weight: float = 0.01,
        noise_std: float = 0.0,
        perceptual: FeatureDistance | None = None,
        perceptual_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if penalty not in PENALTIES:
            raise InputError(f"penalty '{penalty}' is not one of {', '.join(PENALTIES)}{nearest(penalty, PENALTIES)}")
        for name, value in (("weight", weight), ("noise_std", noise_std), ("perceptual_weight", perceptual_weight)):
            if value < 0:
                raise InputError(f"{name} is {value}; it must be 0 or more")
        self.network = network
        self.penalty = penalty
        self.weight = weight
        self.noise_std = noise_std
        self.perceptual = perceptual
        self.perceptual_weight = perceptual_weight
        self._recon_weight = recon_weight(reduction, network.config.shape)
        self._negative_log_likelihood = likelihood_of(likelihood, network.output)

    def forward(self, batch: Mapping[str, Tensor]) -> AETerms:
        """Return the terms for ``batch["image"]`` of shape (B, *shape), of which the network sees ``corrupted``."""
        return self.restore(batch).terms

    def restore(self, batch: Mapping[str, Tensor]) -> Restored:
        """Return the terms and the reconstruction for a batch, as ``forward`` takes it."""
        x, given = batch["image"], seen(batch)
        noisy = given + self.noise_std * torch.randn_like(given) if self.noise_std and self.training else given
        z = self.network.encode(noisy)
        decoded = self.network.decode(z)
        recon = self._negative_log_likelihood(decoded, x).mean()
        penalty = self._penalty(z, decoded)
        made = self.network.to_sample(decoded)
        apart = feature_distance(self.perceptual, x, made)
        total = self._recon_weight * recon + self.weight * penalty + self.perceptual_weight * apart
        return Restored(AETerms(total, recon, penalty, apart), made)

    def _penalty(self, z: Tensor, decoded: Tensor) -> Tensor:
        if self.penalty == "none":
            return z.new_zeros(())
        if self.penalty == "l1":
            return z.abs().sum(1).mean()
        size = 0.5 * z.square().sum(1).mean()
        if self.penalty == "l2" or not torch.is_grad_enabled():
            return size
        direction = torch.randn_like(decoded)
        (slope,) = torch.autograd.grad((self.network.to_sample(decoded) * direction).sum(), z, create_graph=True)
        return size + slope.square().sum(1).mean()

    @staticmethod
    def example() -> tuple["Autoencoding", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        network = Autoencoder(CoderConfig(shape=(1, 8, 8), latent=3, hidden=(8,)))
        return Autoencoding(network, penalty="l2"), {"image": torch.rand(4, 1, 8, 8)}
