"""The prior over codes: what it sees, what it judges, what it draws, and that its VQ-VAE stays as it is."""

import math

import pytest
import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.networks import TokenPriorConfig, WithPrior, build_network, covered, find_vqvae

VQ = {"name": "vqvae", "channels": [4, 8], "quantizer_options": {"num_codes": 8, "dim": 4}}
FLAT = {**VQ, "spatial_dims": 2}


def small(reconstructor: dict = VQ) -> WithPrior:
    torch.manual_seed(0)
    network = build_network("with_prior", reconstructor=reconstructor, layers=1, width=24, heads=2)
    assert isinstance(network, WithPrior)
    return network.eval()


def grid(shape: tuple[int, ...] = (2, 4, 3, 5), seed: int = 0) -> Tensor:
    """Random codes (B, \\*latent)."""
    return torch.randint(8, shape, generator=torch.Generator().manual_seed(seed))


class Told(WithPrior):
    """One whose prior expects every position's code to be that of the position before it in the first axis, + 1."""

    def __init__(self) -> None:
        super().__init__(small(FLAT).reconstructor, TokenPriorConfig(layers=1, width=24, heads=2))
        self.shown: list[Tensor] = []
        self.prior.forward = self.expect  # type: ignore[method-assign]

    def expect(self, codes: Tensor, hidden: Tensor) -> Tensor:
        self.shown.append(hidden)
        before = torch.where(hidden, 0, codes).roll(1, 1)
        return 50.0 * torch.nn.functional.one_hot((before + 1) % 8, 8).flatten(1, -2).float()


def test_a_hidden_code_is_not_seen() -> None:
    network, codes = small(), grid()
    hidden = torch.rand(codes.shape) < 0.3
    other = torch.where(hidden, (codes + 3) % 8, codes)
    with torch.no_grad():
        assert torch.equal(network.prior(codes, hidden), network.prior(other, hidden))
        assert not torch.equal(network.prior(codes, ~hidden), network.prior(other, ~hidden))


@torch.no_grad()
def test_the_likelihood_of_a_code_is_that_of_hiding_its_lattice() -> None:
    network, codes = small(), grid()
    hidden = torch.zeros_like(codes, dtype=torch.bool)
    hidden[:, 1::2, 0::2, 1::2] = True
    probabilities = network.prior(codes, hidden).softmax(-1).reshape(*codes.shape, 8)
    expected = -probabilities.gather(-1, codes[..., None])[..., 0].log()
    found = network.code_nll(codes)
    torch.testing.assert_close(found[hidden], expected[hidden])
    assert found.dtype == torch.float32
    assert found.min() >= 0


def test_every_code_is_hidden_once_and_never_with_a_neighbour() -> None:
    network = Told()
    network.code_nll(grid((1, 5, 4)))
    assert len(network.shown) == 4
    assert torch.equal(torch.stack(network.shown).sum(0), torch.ones(1, 5, 4, dtype=torch.int64))
    for hidden in network.shown:
        assert not (hidden[:, 1:] & hidden[:, :-1]).any()
        assert not (hidden[:, :, 1:] & hidden[:, :, :-1]).any()


def test_a_code_that_breaks_the_pattern_is_unlikely_and_drawn_as_the_pattern_has_it() -> None:
    network = Told()
    pattern = (torch.arange(8)[:, None] + torch.arange(6)).remainder(8)[None]
    broken = pattern.clone()
    broken[0, 3, 2] = (broken[0, 3, 2] + 4) % 8
    nll = network.code_nll(broken)
    assert nll[0, 3, 2] == pytest.approx(50, abs=0.01)
    assert nll[0, 4, 2] == pytest.approx(50, abs=0.01), "the one after it follows from it"
    unlikely = torch.zeros_like(broken, dtype=torch.bool)
    unlikely[0, 3, 2] = True
    drawn = network.resample(broken, unlikely, torch.Generator().manual_seed(0), draws=3)
    assert torch.equal(drawn, pattern.expand(3, *pattern.shape))


def test_drawing_leaves_likely_codes_alone_repeats_for_a_seed_and_differs_between_draws() -> None:
    network, codes = small(), grid((2, 4, 4, 4))
    unlikely = torch.rand(codes.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    first, second = (network.resample(codes, unlikely, torch.Generator().manual_seed(5), 2) for _ in range(2))
    assert first.shape == (2, *codes.shape)
    assert torch.equal(first, second)
    assert torch.equal(first[:, ~unlikely], codes[~unlikely].expand(2, -1))
    assert not torch.equal(first[0], first[1])
    alone = network.resample(codes[1:], unlikely[1:], torch.Generator().manual_seed(5), 2)
    assert torch.equal(alone, first[:, 1:]), "an image's draws do not depend on the others of its batch"


def test_nothing_unlikely_draws_nothing() -> None:
    codes = grid()
    drawn = small().resample(codes, torch.zeros_like(codes, dtype=torch.bool), torch.Generator(), 1)
    assert torch.equal(drawn[0], codes)


def test_draws_follow_the_priors_probabilities() -> None:
    network = small(FLAT)
    network.prior.forward = lambda codes, _: torch.tensor([0.1, 0.2, 0.7]).log().expand(len(codes), 4000, 3)  # type: ignore[method-assign]
    codes = torch.zeros(1, 40, 100, dtype=torch.int64)
    drawn = network.resample(codes, torch.ones_like(codes, dtype=torch.bool), torch.Generator().manual_seed(0), 1)
    shares = torch.bincount(drawn.flatten()) / drawn.numel()
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.2, 0.7]), atol=4 * math.sqrt(0.25 / 4000), rtol=0)


@pytest.mark.parametrize(("reconstructor", "shape"), [(VQ, (2, 1, 16, 8, 12)), (FLAT, (2, 1, 16, 8))], ids=["3d", "2d"])
@torch.no_grad()
def test_it_reconstructs_as_its_vqvae_and_decodes_codes(reconstructor: dict, shape: tuple[int, ...]) -> None:
    network = small(reconstructor)
    x = torch.rand(shape)
    vqvae = find_vqvae(network)
    assert vqvae is not None
    assert torch.equal(network(x), vqvae(x))
    codes = vqvae.codes(x)
    torch.testing.assert_close(network.decode_codes(codes), vqvae(x))
    assert network.code_nll(codes).shape == codes.shape


def test_training_mode_is_the_priors_alone() -> None:
    network = small()
    assert network.train().prior.training
    assert not any(module.training for module in network.reconstructor.modules())


def test_a_code_counts_where_any_of_its_voxels_does() -> None:
    valid = torch.zeros(1, 1, 8, 8)
    valid[..., :5, :4] = 1
    found = covered(valid, torch.zeros(1, 2, 2, dtype=torch.int64))
    assert found.tolist() == [[[True, False], [True, False]]]


def test_what_has_no_codes_and_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="needs a vqvae"):
        build_network("with_prior", reconstructor={"name": "unet", "channels": [4, 8]})
    with pytest.raises(InputError, match=r"width is 10; it must be a multiple of heads \(4\)"):
        TokenPriorConfig(width=10)
    with pytest.raises(InputError, match="layers is 0"):
        TokenPriorConfig(layers=0)
