"""InfoVAE: the aggregate posterior is held to the prior by a maximum mean discrepancy."""

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE
from fracture_vae.networks.gaussian import Gaussian
from fracture_vae.objectives.elbo import ELBO, small_vae
from fracture_vae.objectives.perceptual import FeatureDistance
from fracture_vae.registry import OBJECTIVES

KERNELS = ("rbf", "imq")


@OBJECTIVES.add_def("info_vae", "InfoVAE: KL weight 1 - α, MMD weight α + λ - 1, kernel and bandwidth of its own")
class InfoVAE(ELBO):
    """total = w · recon + (1 - α) · KL + (α + λ - 1) · MMD(q(z), p(z)).

    Zhao et al. 2019, "InfoVAE: Balancing Learning and Inference in Variational Autoencoders" (arXiv:1706.02262),
    eq. 6. β is 1 - α here.

    Args:
        network, likelihood, reduction: as for :class:`ELBO`.
        alpha: α in [0, 1]; 1 leaves the mutual information unpenalised (MMD-VAE).
        scale: λ; α + λ must be 1 or more.
        kernel: ``rbf``, exp(-\\|a - b\\|² / (2 h² )), or ``imq``, c / (c + \\|a - b\\|²) with c = 2 h² (Tolstikhin
            et al. 2018, arXiv:1711.01558).
        bandwidth: h; None takes √d, the scale on which draws of N(0, 1) in d dimensions differ.
        perceptual, perceptual_weight: as for :class:`ELBO`.

    Raises:
        InputError: for a value out of range.
    """

    def __init__(
        self,
        network: VAE,
        likelihood: str = "bernoulli_logits",
        reduction: str = "sum",
        alpha: float = 0.0,
        scale: float = 1000.0,
        kernel: str = "rbf",
        bandwidth: float | None = None,
        perceptual: FeatureDistance | None = None,
        perceptual_weight: float = 1.0,
    ) -> None:
        if not 0 <= alpha <= 1:
            raise InputError(f"alpha is {alpha}; it must lie in [0, 1]")
        if alpha + scale < 1:
            raise InputError(f"alpha {alpha} and scale {scale}: their sum must be 1 or more")
        if kernel not in KERNELS:
            raise InputError(f"kernel '{kernel}' is not one of {', '.join(KERNELS)}")
        if bandwidth is not None and bandwidth <= 0:
            raise InputError(f"bandwidth is {bandwidth}; it must be above 0, or null for √d")
        super().__init__(
            network, likelihood, reduction, beta=1 - alpha, perceptual=perceptual, perceptual_weight=perceptual_weight
        )
        self.kernel = kernel
        self.bandwidth = network.config.latent**0.5 if bandwidth is None else bandwidth
        self._mmd_weight = alpha + scale - 1

    def _penalty(self, x: Tensor, q: Gaussian, z: Tensor) -> tuple[Tensor, Tensor]:
        del x, q
        discrepancy = mmd(z, self.network.prior.sample(len(z)), self.kernel, self.bandwidth)
        return self._mmd_weight * discrepancy, discrepancy

    @staticmethod
    def example() -> tuple["InfoVAE", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        return InfoVAE(small_vae(), scale=10.0), {"image": torch.rand(4, 1, 8, 8)}


def mmd(a: Tensor, b: Tensor, kernel: str, bandwidth: float) -> Tensor:
    """Return the squared maximum mean discrepancy of draws (n, d) and (m, d), biased and so never negative.

    Gretton et al. 2012, "A Kernel Two-Sample Test", JMLR 13, eq. 5.
    """
    both = torch.cat([a, b]).float()
    squared = (both.unsqueeze(0) - both.unsqueeze(1)).square().sum(-1)
    if kernel == "rbf":
        similarity = (-squared / (2 * bandwidth**2)).exp()
    else:
        similarity = 2 * bandwidth**2 / (2 * bandwidth**2 + squared)
    n = len(a)
    return similarity[:n, :n].mean() + similarity[n:, n:].mean() - 2 * similarity[:n, n:].mean()
