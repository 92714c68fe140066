"""Scores of a prior over codes: by hand, and what their options do."""

from typing import Any

import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.maps.scores import Restoration, Seen, build_score
from fracture_vae.networks import WithPrior


def a_view(**given: Any) -> Seen:
    """Two random images and an untrained network with a prior, the same each time."""
    torch.manual_seed(0)
    return Seen(torch.rand(2, 1, 16, 16, 16), WithPrior.example().eval(), **given)


@torch.no_grad()
def test_the_likelihood_map_is_constant_where_all_codes_are_alike_and_each_codes_own_in_nats() -> None:
    seen = a_view()
    seen.network.code_nll = lambda codes: torch.full(codes.shape, 2.5)  # type: ignore[union-attr, assignment]
    torch.testing.assert_close(build_score("code_likelihood")(seen), torch.full((2, 1, 16, 16, 16), 2.5))


@torch.no_grad()
def test_where_no_code_is_unlikely_restoration_is_the_residual() -> None:
    seen = a_view()
    assert torch.allclose(build_score("restoration", threshold=1e6)(seen), build_score("l1")(seen))


@torch.no_grad()
def test_restoration_is_the_mean_residual_of_its_draws() -> None:
    seen = a_view()
    score = Restoration(threshold=0, draws=3, seed=4)
    network: Any = seen.network
    everything = torch.ones_like(seen.codes, dtype=torch.bool)
    drawn = network.resample(seen.codes, everything, torch.Generator().manual_seed(4), 3)
    expected = torch.stack([(seen.image - network.decode_codes(codes)).abs() for codes in drawn]).mean(0)
    torch.testing.assert_close(score(seen), expected)
    assert torch.equal(score(seen), score(a_view())), "the same seed draws the same"
    assert not torch.equal(score(seen), Restoration(threshold=0, draws=3, seed=5)(seen))


@torch.no_grad()
def test_a_quantile_is_of_each_image_s_own_codes_and_of_those_that_stand_for_a_voxel() -> None:
    valid = torch.zeros(2, 1, 16, 16, 16, dtype=torch.bool)
    valid[:, :, :8] = True
    seen = a_view(valid=valid)
    nll = torch.arange(64.0).reshape(1, 4, 4, 4) * torch.tensor([1.0, 100.0]).view(2, 1, 1, 1)
    seen.__dict__["code_nll"] = nll
    unlikely = Restoration(quantile=0.75).unlikely(seen)
    assert unlikely[:, :2].sum((1, 2, 3)).tolist() == [8, 8], "a quarter of the 32 codes that hold voxels"


@pytest.mark.parametrize("option", [{"draws": 0}, {"quantile": 1.5}, {"threshold": "high"}, {"seed": -1}])
def test_options_out_of_range_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"score 'restoration': {next(iter(option))} "):
        build_score("restoration", **option)
