"""Any size goes in and comes out."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fracture_vae.maps.cases import LoadedCase
from fracture_vae.maps.inference import PaddedInferer, stacked, view_cases
from fracture_vae.maps.views import Views
from fracture_vae.networks import build_network
from fracture_vae.training import Accelerated, choose


class Remembers(nn.Module):
    """The identity, which keeps what it saw."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x


@given(shape=st.lists(st.integers(1, 9), min_size=2, max_size=3), multiple=st.sampled_from([1, 2, 4]))
def test_a_size_is_padded_to_the_multiple_and_cut_back(shape: list[int], multiple: int) -> None:
    network, image = Remembers(), torch.rand(2, 1, *shape)
    assert torch.equal(PaddedInferer(multiple)(image, network), image)
    seen = network.seen
    assert all(
        have % multiple == 0 and 0 <= have - asked < multiple for have, asked in zip(seen.shape[2:], shape, strict=True)
    )
    assert seen.sum().item() == pytest.approx(image.sum().item(), rel=1e-5)


def test_an_image_smaller_than_those_trained_on_is_padded_as_they_were() -> None:
    network, image = Remembers(), torch.ones(1, 1, 4, 20)
    assert torch.equal(PaddedInferer(8, at_least=[16, 16])(image, network), image)
    assert network.seen.shape[2:] == (16, 24)
    assert network.seen[0, 0, :, 12].tolist() == [0] * 6 + [1] * 4 + [0] * 6


def test_the_image_lies_in_the_middle_as_in_training() -> None:
    network = Remembers()
    PaddedInferer(8)(torch.ones(1, 1, 5, 8), network)
    assert network.seen[0, 0, :, 0].tolist() == [0, 1, 1, 1, 1, 1, 0, 0]


def case(name: str, image: Tensor, error: str = "") -> LoadedCase:
    there = torch.ones_like(image, dtype=torch.bool)
    return LoadedCase({"case_id": name, "image": f"{name}.nii.gz"}, image, there, there, None, error)


def engine(network: nn.Module) -> Any:
    """What view_cases needs of a MONAI evaluator."""
    state = SimpleNamespace(device=torch.device("cpu"))
    return SimpleNamespace(network=Views([network]), inferer=PaddedInferer(4), state=state)


@pytest.fixture(params=[1, 2, 3])
def cores(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many cores to compute on; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def vqvae() -> nn.Module:
    torch.manual_seed(0)
    return build_network(name="vqvae", channels=[4, 8], quantizer_options={"num_codes": 16, "dim": 8}).eval()


def test_a_case_s_reconstruction_does_not_depend_on_its_batch_mates(cores: int) -> None:
    network = vqvae()
    cases = [case(str(n), torch.rand(1, 1, *shape)) for n, shape in enumerate([(8, 8, 8)] * 3 + [(9, 7, 5)] * 2)]
    together = view_cases(engine(network), cases)
    assert [result.case.item["case_id"] for result in together] == list("01234")
    for result in together:
        alone = view_cases(engine(network), [result.case])[0]
        assert result.shown is not None
        assert alone.shown is not None
        torch.testing.assert_close(result.shown, alone.shown, atol=1e-6, rtol=0)
        expected = PaddedInferer(4)(result.case.image, network)
        torch.testing.assert_close(alone.shown, expected, atol=1e-6, rtol=0)
    assert torch.get_num_threads() == cores


@torch.no_grad()
def test_stacked_cases_are_reconstructed_as_each_by_itself() -> None:
    network, sizes = vqvae(), []
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    cases = [case(str(n), torch.rand(1, 1, *shape)) for n, shape in enumerate([(8, 8, 8)] * 3 + [(8, 8, 4)])]
    together = stacked(lambda group: network(torch.cat([case.image for case in group])), cases)
    assert sizes == [3, 1]
    for one, other in zip(together, cases, strict=True):
        assert one.case is other
        torch.testing.assert_close(one.shown, network(other.image), atol=1e-6, rtol=0)


def test_a_batch_that_is_too_much_is_taken_apart() -> None:
    def cramped(group: Sequence[LoadedCase]) -> Tensor:
        if len(group) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return group[0].image

    cases = [case(str(n), torch.rand(1, 1, 8, 8, 8)) for n in range(3)]
    results = stacked(cramped, cases)
    for result, one in zip(results, cases, strict=True):
        assert result.case is one
        assert one.image.equal(result.shown)


def test_a_case_the_network_fails_for_is_named_and_the_others_go_on(cores: int) -> None:
    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.max() > 1:
                raise RuntimeError("too bright\nfor me")
            return x

    good, bad = torch.rand(1, 1, 8, 8, 8), torch.full((1, 1, 8, 8, 8), 2.0)
    cases = [case("a", good), case("b", bad), case("c", good), case("d", torch.zeros(0), "cannot be read")]
    results = view_cases(engine(Picky()), cases)
    assert [result.shown is not None for result in results] == [True, False, True, False]
    assert results[1].case.error == "b.nii.gz: the network failed: too bright"
    assert results[3].case.error == "cannot be read"


def test_maps_in_bf16_are_those_of_the_network_as_trained_but_for_its_rounding() -> None:
    network = vqvae()
    image = torch.rand(1, 1, 16, 16, 16)
    fast = engine(network)
    fast.network = Accelerated(fast.network, choose("cpu", "bf16", compile=False))
    with torch.no_grad():
        expected = network(image)
    (result,) = view_cases(fast, [case("a", image)])
    difference = (result.shown - expected).abs()
    assert difference.mean() < 2e-3
    assert difference.max() < 2e-2
