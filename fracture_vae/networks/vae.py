"""The variational autoencoder: one class for all of the family; what differs is its coders, posterior and prior."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.autoencoder import require_output, to_sample
from fracture_vae.networks.coders import CoderConfig, build_coders
from fracture_vae.networks.gaussian import Gaussian
from fracture_vae.networks.posteriors import FLOORED, build_posterior
from fracture_vae.networks.priors import StandardPrior, build_prior
from fracture_vae.registry import NETWORKS


class VAEOutput(NamedTuple):
    """What a VAE makes of samples x of shape (B, *shape)."""

    reconstruction: Tensor
    """(B, *shape), after the output function."""
    kl: Tensor
    """Scalar: KL divergence from the prior, nats, mean over the batch."""


@NETWORKS.add_def("vae", "variational autoencoder: fully connected or convolutional, several posteriors and priors")
class VAE(nn.Module):
    """A VAE (Kingma & Welling 2014, arXiv:1312.6114).

    In evaluation ``forward`` decodes the posterior's mean, in training a draw from it.

    Args:
        config: encoder and decoder.
        output: ``sigmoid`` for samples in [0, 1], ``identity`` for others.
        posterior: ``gaussian``, ``batch_norm`` (BN-VAE) or ``delta`` (δ-VAE).
        kl_floor: nats an image that ``batch_norm`` and ``delta`` keep.
        prior: ``standard``; or ``vamp``, with a ``gaussian`` posterior.
        prior_components: pseudo-inputs of ``vamp``.

    Raises:
        InputError: for a value out of range.
    """

    example: ClassVar[Callable[[], "VAE"]]
    example_shape: ClassVar[tuple[int, ...]] = (4, 1, 12, 12)

    def __init__(
        self,
        config: CoderConfig,
        *,
        output: str = "sigmoid",
        posterior: str = "gaussian",
        kl_floor: float = 1.0,
        prior: str = "standard",
        prior_components: int = 500,
    ) -> None:
        super().__init__()
        require_output(output)
        if prior != "standard" and posterior in FLOORED:
            raise InputError(f"posterior '{posterior}' keeps its floor from N(0, 1) alone; set prior standard")
        self.config = config
        self.output = output
        self.encoder, self.decoder = build_coders(config)
        self.head = build_posterior(posterior, self.encoder.features, config.latent, kl_floor)
        self.prior = build_prior(prior, config.latent, config.shape, self.encode, prior_components)

    @classmethod
    def from_options(
        cls, output: str = "sigmoid", posterior: str = "gaussian", kl_floor: float = 1.0, prior: str = "standard",
        prior_components: int = 500, **config: Any,
    ) -> "VAE":  # fmt: skip
        """Return the VAE of these plain values; ``config`` are the fields of :class:`CoderConfig`."""
        return cls(
            CoderConfig(**config), output=output, posterior=posterior, kl_floor=kl_floor, prior=prior,
            prior_components=prior_components,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction (B, *shape) of x (B, *shape)."""
        q = self.encode(x)
        return self.to_sample(self.decode(q.sample() if self.training else q.mean))

    def reconstruct(self, x: Tensor) -> VAEOutput:
        """Reconstruction and KL divergence of x (B, *shape)."""
        q = self.encode(x)
        z = q.sample() if self.training else q.mean
        return VAEOutput(self.to_sample(self.decode(z)), self.kl(q, z).sum(-1).mean())

    def encode(self, x: Tensor) -> Gaussian:
        """Posterior q(z|x), (B, d), of x (B, *shape)."""
        return self.head(self.encoder(x))

    def decode(self, z: Tensor) -> Tensor:
        """What the decoder gives for z (B, d), (B, *shape), before the output function."""
        return self.decoder(z).float()

    def to_sample(self, decoded: Tensor) -> Tensor:
        """Apply the output function to what ``decode`` gives."""
        return to_sample(decoded, self.output)

    def kl(self, q: Gaussian, z: Tensor) -> Tensor:
        """Return KL(q || p) in nats, (B, d) exactly for N(0, 1), else (B, 1) estimated from the draw z (B, d)."""
        if isinstance(self.prior, StandardPrior):
            return q.kl_to_standard()
        return (q.log_density(z) - self.prior.log_density(z)).unsqueeze(-1)


VAE.example = staticmethod(lambda: VAE(CoderConfig(shape=(1, 12, 12), latent=3, hidden=(8,))))
