"""Active units, KL and mutual information, where they are known."""

import math

import pytest
import torch

from fracture_vae.networks.gaussian import Gaussian
from fracture_vae.networks.latent_use import latent_use


def test_a_posterior_equal_to_the_prior_uses_nothing() -> None:
    torch.manual_seed(0)
    use = latent_use(Gaussian(torch.zeros(500, 4), torch.zeros(500, 4)))
    assert use.active_units == 0
    assert use.kl_by_dimension.tolist() == [0, 0, 0, 0]
    assert use.mutual_information == pytest.approx(0, abs=1e-4)


def test_posteriors_that_tell_every_sample_apart_carry_its_whole_identity() -> None:
    torch.manual_seed(0)
    mean = torch.zeros(64, 3)
    mean[:, 1] = torch.arange(64.0)
    use = latent_use(Gaussian(mean, torch.full((64, 3), -12.0)))
    assert use.active_units == 1
    assert use.mutual_information == pytest.approx(math.log(64), rel=1e-3)
    assert use.kl_by_dimension[0].item() == pytest.approx(0.5 * (math.exp(-12) - 1 + 12))


def test_two_clusters_carry_one_bit() -> None:
    torch.manual_seed(0)
    mean = torch.where(torch.arange(400) % 2 == 0, -20.0, 20.0)[:, None]
    use = latent_use(Gaussian(mean, torch.zeros(400, 1)))
    assert use.mutual_information == pytest.approx(math.log(2), rel=1e-3)
