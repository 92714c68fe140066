"""Baselines without a network, by hand."""

import numpy as np
import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.evaluation.baselines import Side, best_side, level_scores, shares_above, top_mean
from fracture_vae.maps import case_score


def test_the_top_mean_is_the_mean_of_the_largest() -> None:
    values = np.array([3, 9, 1, 7], np.float32)
    assert [top_mean(values, count) for count in (1, 2, 4, 10)] == [9, 8, 5, 5]


def test_it_is_the_package_s_case_score() -> None:
    values = np.random.default_rng(0).random(1000, np.float32)
    region = np.arange(1000) % 3 == 0
    everywhere = torch.ones(1000, dtype=torch.bool)
    score = case_score(torch.from_numpy(values), everywhere, torch.from_numpy(region))
    assert top_mean(values[region], round(0.005 * 1000)) == pytest.approx(score)


def test_shares_lie_above_and_not_at_a_threshold() -> None:
    assert shares_above(np.array([0, 100, 200, 300], np.float32), (100, 0, 400)).tolist() == [0.5, 0.75, 0]


def test_the_best_threshold_may_lie_on_either_side() -> None:
    labels = np.array([0, 0, 1, 1])
    brighter = np.array([[0.5, 0.1], [0.5, 0.3], [0.5, 0.2], [0.5, 0.4]])
    assert best_side(brighter, labels) == Side(1, True)
    assert Side(1, True).score(brighter).tolist() == [0.1, 0.3, 0.2, 0.4]
    darker = 1 - brighter
    assert best_side(darker, labels) == Side(1, False)
    np.testing.assert_allclose(Side(1, False).score(darker), brighter[:, 1])


def test_a_level_scores_as_often_as_it_is_abnormal_elsewhere() -> None:
    train = ["L1", "L1", "T4"]
    assert level_scores(["T4", "L1", "L5"], train, [1, 1, 0]) == [1 / 3, 3 / 4, 1 / 2]
    with pytest.raises(InputError, match="two folds or more"):
        level_scores(["L1"], [], [])
