"""Lumps, and corruptions of images of two values."""

import pytest
import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.transforms.corruption import Growth, TwoValued, build_corruption, corrupt


@pytest.fixture(scope="module")
def vessels() -> Tensor:
    """Eight straight vessels, 3 voxels thick, of value 1."""
    images = torch.zeros(8, 1, 32, 32, 32)
    images[:, :, 15:18, 15:18] = 1
    return images


def test_a_lump_bulges_from_the_vessel_and_has_its_brightness(vessels: Tensor) -> None:
    made = corrupt(vessels, Growth(size=(0.3, 0.4)), torch.Generator().manual_seed(0))
    assert (made.image >= vessels).all()
    assert made.image.max() == 1
    grown = (made.truth > 0).flatten(1).sum(1)
    assert (grown > 30).all()
    assert torch.equal(made.truth > 0, made.image - vessels > 0.02)


def test_what_is_as_bright_as_the_lump_stays(vessels: Tensor) -> None:
    made = corrupt(vessels, Growth(), torch.Generator().manual_seed(1))
    assert torch.equal(made.image[vessels > 0], vessels[vessels > 0])


@pytest.mark.parametrize("part", [{"name": "growth"}, {"name": "deformation", "size": [0.3, 0.6]}])
def test_two_values_stay_two_values(vessels: Tensor, part: dict[str, object]) -> None:
    made = corrupt(vessels, TwoValued(part), torch.Generator().manual_seed(2))
    assert set(made.image.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(made.truth, (made.image - vessels).abs())
    assert made.truth.any()


def test_two_valued_needs_a_part() -> None:
    with pytest.raises(InputError, match="TwoValued: part 'growth'; give a corruption's name and options"):
        build_corruption("two_valued", part="growth")
    with pytest.raises(InputError, match="corruption Growth: size"):
        build_corruption("two_valued", part={"name": "growth", "size": [2, 1]})


def test_softened_edges_are_no_change(vessels: Tensor) -> None:
    soft = vessels * 0.8 + 0.1
    made = corrupt(soft, TwoValued({"name": "mixture", "clean": 1.0, "parts": [{"name": "growth"}]}), torch.Generator())
    assert torch.equal(made.image, vessels)
    assert not made.truth.any()
