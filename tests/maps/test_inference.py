"""Any size goes in and comes out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fracture_vae.maps.inference import PaddedInferer


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
