"""Location and spread: by hand, and shrunk towards neighbours as far as a group has few cases of its own."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fracture_vae.maps.calibration.moments import Moments, shrunk


def moments(*groups: list[float]) -> Moments:
    """Groups with a single cell."""
    tables = [[[float(len(g))] for g in groups], [[sum(g)] for g in groups], [[sum(v * v for v in g)] for g in groups]]
    return Moments(*(torch.tensor(table, dtype=torch.float64) for table in tables), cases=1)


def of(values: Tensor) -> list[float]:
    return [float(value) for value in values.flatten()]


def test_alone_a_group_has_its_own_mean_and_deviation() -> None:
    found = shrunk(moments([1, 2, 3, 6]), [0], prior=5)
    assert of(found.location) == [3]
    assert of(found.spread) == pytest.approx([math.sqrt((4 + 1 + 0 + 9) / 4)])


def test_a_group_without_voxels_takes_its_neighbours_and_the_nearer_one_counts_double() -> None:
    found = shrunk(moments([0, 0], [], [6, 6]), [0, 1, 2], prior=100)
    assert of(found.location)[1] == 3
    found = shrunk(moments([], [0, 0], [6, 6]), [0, 1, 2], prior=100)
    assert of(found.location)[0] == pytest.approx((2 * 0 + 1 * 6) / 3)


def test_neighbours_weigh_the_prior_against_a_group_s_own_voxels() -> None:
    found = shrunk(moments([1, 1, 1], [5] * 10), [0, 1], prior=2)
    location = (3 * 1 + 2 * 5) / 5
    assert of(found.location)[0] == pytest.approx(location)
    assert of(found.spread)[0] == pytest.approx(math.sqrt(3 * (location - 1) ** 2 / 5))
    few = shrunk(moments([1, 1, 1], [5]), [0, 1], prior=2)
    assert of(few.location)[0] == pytest.approx((3 * 1 + 1 * 5) / 4), "neighbours weigh no more than they are"


def test_groups_infinitely_far_are_no_neighbours() -> None:
    found = shrunk(moments([1, 1], [5, 5]), [math.inf, math.inf], prior=100)
    assert of(found.location) == [1, 5]


def test_an_empty_cell_takes_the_mean_of_its_group_and_a_constant_one_is_kept_from_a_spread_of_nothing() -> None:
    count = torch.tensor([[4.0, 0.0, 4.0]], dtype=torch.float64)
    tables = (count, count * torch.tensor([1.0, 0, 2]), count * torch.tensor([1.0 + 4, 0, 4]))
    found = shrunk(Moments(*tables, cases=4), [0], prior=0)
    assert of(found.location) == [1, 1.5, 2]
    assert of(found.spread) == pytest.approx([2, math.sqrt(2), 0.25 * math.sqrt(2)])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.lists(st.floats(-5, 5), min_size=1, max_size=6))
def test_shrinking_lies_between_a_group_and_its_neighbour_and_fades_with_cases(
    own: list[float], other: list[float]
) -> None:
    ends = sorted((sum(own) / len(own), sum(other) / len(other)))
    found = of(shrunk(moments(own, other), [0, 1], prior=3).location)[0]
    assert ends[0] - 1e-5 <= found <= ends[1] + 1e-5
    many = of(shrunk(moments(own * 5000, other), [0, 1], prior=3).location)[0]
    assert many == pytest.approx(sum(own) / len(own), abs=0.01)


@given(st.lists(st.lists(st.floats(-5, 5), max_size=5), min_size=3, max_size=3))
def test_moments_of_parts_add_up_to_those_of_the_whole(parts: list[list[float]]) -> None:
    together = moments(parts[0]) + moments(parts[1]) + moments(parts[2])
    whole = moments(parts[0] + parts[1] + parts[2])
    torch.testing.assert_close(together.squares, whole.squares)
    torch.testing.assert_close(together.total, whole.total)
    assert together.cases == 3
