"""How much of its latent space a VAE uses: KL by dimension, active units, mutual information."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fracture_vae.networks.gaussian import Gaussian

ACTIVE_ABOVE = 0.01
"""Variance of a dimension's posterior mean over the data from which it counts as active (Burda et al. 2016)."""


class LatentUse(NamedTuple):
    """What the posteriors of many samples show.

    Attributes:
        kl_by_dimension: (d,), nats, mean over the samples of KL(q(z_i|x) || N(0, 1)).
        active_units: dimensions whose posterior mean varies over the samples by more than ``ACTIVE_ABOVE``.
        mutual_information: nats, an estimate of I(x; z), at most log of the number of samples it is made from.
    """

    kl_by_dimension: Tensor
    active_units: int
    mutual_information: float


@torch.no_grad()
def latent_use(q: Gaussian, samples: int = 1000) -> LatentUse:
    """Measure posteriors q(z|x), (N, d), of N samples.

    Active units: Burda et al. 2016 (arXiv:1509.00519, section 5). Mutual information: E[log q(z|x) - log q(z)] with
    q(z) the mixture of the posteriors of the first ``samples`` samples (Hoffman & Johnson 2016, "ELBO surgery").
    """
    few = Gaussian(q.mean[:samples], q.log_variance[:samples])
    z = few.sample()
    mixture = torch.stack([few.log_density(row).logsumexp(0) for row in z]) - math.log(len(z))
    information = (few.log_density(z) - mixture).mean()
    return LatentUse(
        q.kl_to_standard().mean(0),
        int((q.mean.var(0, unbiased=False) > ACTIVE_ABOVE).sum()),
        max(float(information), 0.0),
    )
