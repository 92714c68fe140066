"""What latent vectors are compared with: N(0, 1), or a mixture of posteriors of learned pseudo-inputs."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.coders.config import WIDEST
from fracture_vae.networks.gaussian import Gaussian, standard_log_density

PRIORS = ("standard", "vamp")


class StandardPrior(nn.Module):
    """N(0, 1) in every dimension."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self._place: Tensor  # follows the network's device
        self.register_buffer("_place", torch.zeros(()), persistent=False)

    def log_density(self, z: Tensor) -> Tensor:
        """Return log p(z) of z (…, d), summed over d."""
        return standard_log_density(z)

    def sample(self, count: int) -> Tensor:
        """Return (count, d)."""
        return torch.randn(count, self.latent, device=self._place.device)


class VampPrior(nn.Module):
    """Mixture of the posteriors of ``components`` learned pseudo-inputs in [0, 1].

    Tomczak & Welling 2018, "VAE with a VampPrior" (arXiv:1705.07120), eq. 9.

    Args:
        posterior: from a sample (B, *shape) to q(z|x); held by the network, not here.
        shape: of a sample.
        components: number of pseudo-inputs.
    """

    def __init__(self, posterior: Callable[[Tensor], Gaussian], shape: tuple[int, ...], components: int) -> None:
        super().__init__()
        self._posterior = posterior
        self.inputs = nn.Parameter(torch.randn(components, *shape) * 0.5)

    def _components(self) -> Gaussian:
        return self._posterior(self.inputs.sigmoid())

    def log_density(self, z: Tensor) -> Tensor:
        """Return log p(z) of z (…, d), summed over d."""
        by_component = self._components().log_densities(z)
        return (by_component.logsumexp(-1) - math.log(len(self.inputs))).to(z.dtype)

    def sample(self, count: int) -> Tensor:
        """Return (count, d)."""
        mixture = self._components()
        chosen = torch.randint(len(self.inputs), (count,), device=self.inputs.device)
        return Gaussian(mixture.mean[chosen], mixture.log_variance[chosen]).sample()


def build_prior(
    name: str, latent: int, shape: tuple[int, ...], posterior: Callable[[Tensor], Gaussian], components: int
) -> StandardPrior | VampPrior:
    """Return the prior called ``name``.

    Raises:
        InputError: for an unknown name, or a number of components out of range.
    """
    if name == "standard":
        return StandardPrior(latent)
    if name != "vamp":
        raise InputError(f"prior '{name}' is not one of {', '.join(PRIORS)}")
    if not 1 <= components <= WIDEST:
        raise InputError(f"prior_components is {components}; it must lie in 1 to {WIDEST}")
    return VampPrior(posterior, shape, components)
