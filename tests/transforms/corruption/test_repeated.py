"""One corruption several times over."""

import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.transforms.corruption import Repeated, build_corruption, corrupt

PART = {"name": "intensity", "size": [0.3, 0.4], "strength": [0.3, 0.5]}


def test_two_rounds_are_one_round_of_what_one_made() -> None:
    images = torch.full((3, 1, 24, 24, 24), 0.5)
    twice, part = Repeated(PART, rounds=2), build_corruption(**PART)
    params = twice.draw(images, torch.Generator().manual_seed(0))
    first = part.apply(images, params.rounds[0])
    second = part.apply(first.image, params.rounds[1])
    made = twice.apply(images, params)
    assert torch.equal(made.image, second.image)
    assert torch.equal(made.truth, torch.maximum(first.truth, second.truth))
    assert made.truth.sum() > first.truth.sum(), "rounds are drawn each for itself"


def test_one_round_is_the_part() -> None:
    images = torch.full((2, 1, 24, 24), 0.5)
    once = corrupt(images, Repeated(PART, rounds=1), torch.Generator().manual_seed(0))
    plain = corrupt(images, build_corruption(**PART), torch.Generator().manual_seed(0))
    assert torch.equal(once.image, plain.image)
    assert torch.equal(once.truth, plain.truth)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"part": "intensity"}, "part 'intensity'; give a corruption's name and options"),
        ({"part": PART, "rounds": 0}, "rounds"),
        ({"part": PART, "rounds": 1.5}, "rounds is 1.5; it must be a whole number"),
        ({"part": {**PART, "size": [2, 1]}}, "size"),
    ],
)
def test_wrong_options_are_one_line(options: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        build_corruption("repeated", **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
