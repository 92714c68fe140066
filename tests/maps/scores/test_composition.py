"""What may be said of a composition, and that it comes back from what it says."""

import json
from typing import Any

import pytest

from fracture_vae.errors import InputError
from fracture_vae.maps.scores import compose

WHOLE = {
    "score": [{"name": "ssim", "weight": 0.5, "sigma": 2.0}, "l1"],
    "flips": [0],
    "smoothing_mm": 1.5,
    "body_mask": True,
    "positive_only": True,
    "top_fraction": 0.01,
}


@pytest.mark.parametrize("said", [None, "l2", ["l1", "ssim"], {"name": "ssim", "sigma": 3}, {"score": "l2"}, WHOLE])
def test_a_composition_comes_back_from_its_plain_values(said: Any) -> None:
    composition = compose(said)
    assert compose(json.loads(json.dumps(composition.plain()))) == composition


def test_a_name_is_one_score_of_weight_one_and_nothing_more() -> None:
    plain = compose("l2").plain()
    assert plain["score"] == [{"name": "l2", "weight": 1.0}]
    assert (plain["flips"], plain["smoothing_mm"], plain["body_mask"], plain["positive_only"]) == ([], 0, False, False)
    assert plain["top_fraction"] == 0.005
    assert compose(None) == compose("l1")


def test_what_is_given_stands_over_what_was_said_and_none_does_not() -> None:
    composition = compose(WHOLE, smoothing_mm=0, score="l1", flips=None)
    assert (composition.smoothing_mm, composition.name, composition.flips) == (0, "l1", (0,))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("ssmi", "no score is called 'ssmi'; did you mean 'ssim'"),
        ([], "an empty list"),
        ([3], "score 3: give a name, or"),
        ([{"weight": 2}], "give a name, or"),
        ([{"name": "l1", "weight": "x"}], "score 'l1': weight 'x' must be a number"),
        ([{"name": "l1", "weight": float("nan")}], "weight nan must be a number"),
        ([{"name": "l1", "sigma": 2}], "score 'l1': "),
        ({"score": "l1", "flip": [0]}, "no setting is called 'flip'; did you mean 'flips'"),
        ({"flips": [0, 0]}, "each once"),
        ({"flips": ["x"]}, "give axes from 0"),
        ({"flips": 3}, "give axes from 0"),
        ({"smoothing_mm": "1"}, "smoothing_mm '1' must be a number"),
        ({"positive_only": 1}, "positive_only 1 must be true or false"),
        ({"top_fraction": 0}, "top_fraction 0 must lie in"),
    ],
)
def test_what_there_is_not_is_told(said: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        compose(said)
