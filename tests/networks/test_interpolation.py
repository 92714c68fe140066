"""Interpolation: values by hand, and what holds for any two vectors."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fracture_vae.networks.interpolation import lerp, slerp

coordinates = st.floats(-10, 10, allow_subnormal=False).map(lambda value: round(value, 3))
pairs = st.integers(2, 6).flatmap(
    lambda size: st.tuples(*(st.lists(coordinates, min_size=size, max_size=size) for _ in "ab"))
)
shares = st.floats(0, 1).map(lambda value: torch.tensor([value], dtype=torch.float64))


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_a_quarter_of_the_chord() -> None:
    assert lerp(vector(0, 4), vector(8, 0), vector(0.25)).tolist() == [[2, 3]]


def test_a_third_of_a_right_angle_is_thirty_degrees() -> None:
    found = slerp(vector(1, 0), vector(0, 1), vector(1 / 3))[0]
    torch.testing.assert_close(found, vector(math.sqrt(3) / 2, 0.5))


def test_the_middle_of_an_arc_between_unequal_lengths() -> None:
    found = slerp(vector(2, 0, 0), vector(0, 0, 4), vector(0.5))[0]
    torch.testing.assert_close(found, vector(3 / math.sqrt(2), 0, 3 / math.sqrt(2)))


def test_opposite_vectors_are_joined_by_half_a_circle_over_the_first_axis_across() -> None:
    found = slerp(vector(0, 0, 3), vector(0, 0, -3), vector(0, 0.5, 1))
    torch.testing.assert_close(found, torch.stack([vector(0, 0, 3), vector(3, 0, 0), vector(0, 0, -3)]))


@pytest.mark.parametrize(("a", "b"), [((0.0, 0.0), (2.0, 4.0)), ((2.0, 4.0), (0.0, 0.0)), ((-2.0,), (2.0,))])
def test_where_there_is_no_arc_it_is_the_chord(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(slerp(vector(*a), vector(*b), t), lerp(vector(*a), vector(*b), t))


@given(pairs)
def test_both_ways_begin_and_end_where_they_should(pair: tuple[list[float], list[float]]) -> None:
    a, b = vector(*pair[0]), vector(*pair[1])
    for way in (lerp, slerp):
        torch.testing.assert_close(way(a, b, vector(0, 1)), torch.stack([a, b]), atol=1e-4, rtol=0)


@given(pairs, shares)
def test_an_arc_between_vectors_of_one_length_keeps_it(pair: tuple[list[float], list[float]], t: Tensor) -> None:
    a, b = vector(*pair[0]), vector(*pair[1])
    if not a.any() or not b.any():
        return
    b = b * a.norm() / b.norm()
    found = slerp(a, b, t)[0]
    torch.testing.assert_close(found.norm(), a.norm(), atol=1e-6, rtol=1e-6)


@given(pairs, shares)
def test_the_arc_is_shoemakes_formula(pair: tuple[list[float], list[float]], t: Tensor) -> None:
    a, b = (vector(*values) for values in pair)
    if not a.any() or not b.any():
        return
    p, q = a / a.norm(), b / b.norm()
    omega = torch.acos((p @ q).clamp(-1, 1))
    if omega.sin() < 1e-3:
        return
    expected = ((1 - t) * omega).sin() / omega.sin() * p + (t * omega).sin() / omega.sin() * q
    torch.testing.assert_close(slerp(p, q, t)[0], expected, atol=1e-9, rtol=0)


@given(pairs, shares)
def test_the_way_back_is_the_way_there(pair: tuple[list[float], list[float]], t: Tensor) -> None:
    a, b = vector(*pair[0]), vector(*pair[1])
    torch.testing.assert_close(lerp(a, b, t), lerp(b, a, 1 - t), atol=1e-9, rtol=0)
    if a.any() and b.any() and abs(float(a @ b / a.norm() / b.norm())) < 0.999:
        torch.testing.assert_close(slerp(a, b, t), slerp(b, a, 1 - t), atol=1e-6, rtol=0)
