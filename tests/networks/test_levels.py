"""The level as a condition of the decoder."""

import pytest
import torch

from fracture_vae.cohort.levels import ANATOMICAL, level_index
from fracture_vae.networks import VQVAE, VQVAEConfig, build_quantizer
from fracture_vae.networks.levels import UNKNOWN, LevelEmbedding


def test_levels_are_counted_from_the_head_and_other_texts_are_unknown() -> None:
    assert [level_index(level) for level in ("C1", "T1", "L5", "coccyx")] == [1, 8, 25, 29]
    assert len(ANATOMICAL) == 29
    assert level_index("") == level_index("left") == UNKNOWN


def test_a_level_adds_its_own_vector_at_every_position() -> None:
    embedding = LevelEmbedding(3, 4, 0.0).eval()
    z = torch.rand(2, 4, 2, 3)
    out = embedding(z, torch.tensor([2, 0]))
    for image, row in ((0, 2), (1, 0)):
        torch.testing.assert_close(out[image] - z[image], embedding.vectors.weight[row][:, None, None].expand(4, 2, 3))


def test_no_level_and_one_it_does_not_know_are_unknown() -> None:
    embedding = LevelEmbedding(3, 4, 0.0).eval()
    z = torch.rand(2, 4, 5)
    unknown = embedding(z, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(embedding(z, None), unknown)
    assert torch.equal(embedding(z, torch.tensor([4, 29])), unknown)
    assert not torch.equal(embedding(z, torch.tensor([1, 3])), unknown)


def test_training_forgets_the_stated_share_and_so_learns_the_unknown() -> None:
    torch.manual_seed(0)
    embedding = LevelEmbedding(1, 1, 0.25).train()
    with torch.no_grad():
        embedding.vectors.weight.copy_(torch.tensor([[0.0], [1.0]]))
    out = embedding(torch.zeros(4000, 1, 1), torch.ones(4000, dtype=torch.int64))
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    out.sum().backward()
    assert embedding.vectors.weight.grad[:, 0].tolist() == [(out == 0).sum(), (out == 1).sum()]
    assert embedding.eval()(torch.zeros(9, 1, 1), torch.ones(9, dtype=torch.int64)).unique().tolist() == [1.0]


def network(**options: object) -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(VQVAEConfig(channels=(4, 8), **options), build_quantizer("vq", num_codes=8, dim=4))


def test_a_level_changes_the_reconstruction_and_not_the_codes() -> None:
    told = network(levels=29).eval()
    torch.nn.init.normal_(told.level.vectors.weight)
    x, level = torch.rand(2, 1, 16, 16, 16), torch.tensor([20, 21])
    assert torch.equal(told.reconstruct(x, level).codes, told.reconstruct(x).codes)
    assert not torch.equal(told(x, level), told(x))
    assert torch.equal(told(x, torch.tensor([20, UNKNOWN]))[1], told(x)[1])


def test_without_levels_the_network_is_as_it_was() -> None:
    plain = network()
    assert not plain.takes_level
    assert set(network(levels=3).state_dict()) - set(plain.state_dict()) == {"level.vectors.weight"}
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(plain.eval()(x, torch.tensor([2])), plain(x))


@pytest.mark.parametrize(("option", "value"), [("levels", -1), ("level_dropout", 1.0)])
def test_wrong_levels_are_told(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"VQVAEConfig.{option} is {value}"):
        VQVAEConfig(**{option: value})
