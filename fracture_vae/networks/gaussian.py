"""Diagonal Gaussians: sampling, densities and divergences, all in nats and by sample."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_LOG_2PI = math.log(2 * math.pi)


class Gaussian(NamedTuple):
    """A diagonal Gaussian over latent vectors, one a sample.

    Attributes:
        mean: (B, d).
        log_variance: (B, d).
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, count: int | None = None) -> Tensor:
        """Return reparametrised draws: (B, d), or (count, B, d) where a count is given (Kingma & Welling 2014)."""
        shape = self.mean.shape if count is None else (count, *self.mean.shape)
        noise = torch.randn(shape, dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + noise * (0.5 * self.log_variance).exp()

    def log_density(self, z: Tensor) -> Tensor:
        """Return log q(z), summed over the last axis; z broadcasts against (B, d)."""
        squared = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (squared + self.log_variance + _LOG_2PI).sum(-1)

    def log_densities(self, z: Tensor) -> Tensor:
        """Return log q_b(z) (…, B) of every z (…, d) under every one of the Gaussians.

        As (z - μ)² / σ² = z² / σ² - 2 z μ / σ² + μ² / σ² it is one matrix product, in which nothing of (…, B, d) is
        held. The terms cancel where σ is small beside z, so it is taken in float64 where the device has that.
        """
        dtype = torch.float32 if z.device.type == "mps" else torch.float64
        z, mean, log_variance = (part.to(dtype) for part in (z, *self))
        precision = (-log_variance).exp()
        squared = torch.cat([z.square(), z], -1) @ torch.cat([precision, -2 * mean * precision], -1).T
        constant = (mean.square() * precision + log_variance + _LOG_2PI).sum(-1)
        return -0.5 * (squared + constant)

    def kl_to_standard(self) -> Tensor:
        """Return KL(q || N(0, 1)) of every dimension (B, d) (Kingma & Welling 2014, appendix B)."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)


def standard_log_density(z: Tensor) -> Tensor:
    """Return log N(z; 0, 1), summed over the last axis."""
    return -0.5 * (z.square() + _LOG_2PI).sum(-1)
