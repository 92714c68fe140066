"""The objective of a prior: the value by hand, the same codes hidden in every evaluation, a VQ-VAE left alone."""

import math

import pytest
import torch

from fracture_vae.networks import build_network
from fracture_vae.objectives import CodePrior

VQ = {"name": "vqvae", "spatial_dims": 2, "channels": [4, 8], "quantizer_options": {"num_codes": 8, "dim": 4}}


def small() -> CodePrior:
    torch.manual_seed(0)
    return CodePrior(build_network("with_prior", reconstructor=VQ, layers=1, width=24, heads=2))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_prior_that_knows_nothing_pays_the_logarithm_of_the_number_of_codes(training: bool) -> None:
    objective = small().train(training)
    torch.nn.init.zeros_(objective.network.prior.to_logits.weight)
    torch.nn.init.zeros_(objective.network.prior.to_logits.bias)
    terms = objective({"image": torch.rand(3, 1, 16, 16)})
    assert terms.nll.item() == pytest.approx(math.log(8))
    assert terms.total.item() == terms.nll.item()


def test_evaluation_hides_the_same_codes_and_training_others() -> None:
    objective, batch = small(), {"image": torch.rand(3, 1, 32, 32)}
    objective.eval()
    assert objective(batch).nll == objective(batch).nll
    objective.train()
    assert objective(batch).nll != objective(batch).nll


def test_padding_does_not_count() -> None:
    objective = small().eval()
    image, valid = torch.rand(2, 1, 16, 16), torch.ones(2, 1, 16, 16)
    valid[..., 8:] = 0
    objective.network.hidden_nll = lambda codes, _: torch.ones(codes.shape) * torch.tensor([1.0, 1, 9, 9])
    assert objective({"image": image, "valid": valid}).nll == 1


def test_training_leaves_every_number_of_the_vqvae_as_it_was() -> None:
    objective = small()
    before = {name: value.clone() for name, value in objective.network.reconstructor.state_dict().items()}
    prior = objective.network.prior.to_logits.weight.detach().clone()
    optimiser = torch.optim.AdamW(objective.network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        objective.train()({"image": torch.rand(3, 1, 16, 16)}).total.backward()
        optimiser.step()
    assert not torch.equal(objective.network.prior.to_logits.weight, prior)
    after = objective.network.reconstructor.state_dict()
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []
