"""Case scores, by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fracture_vae.errors import InputError
from fracture_vae.maps.scores import case_score


def test_the_score_is_the_mean_of_the_largest_values() -> None:
    values = torch.arange(1000.0)
    everywhere = torch.ones(1000, dtype=torch.bool)
    assert case_score(values, everywhere, everywhere, 0.005) == pytest.approx((999 + 998 + 997 + 996 + 995) / 5)
    assert case_score(values, everywhere, everywhere, 1.0) == pytest.approx(499.5)
    assert case_score(values[:10], everywhere[:10], everywhere[:10], 0.005) == 9, "at least one voxel"


def test_the_score_sees_its_region_and_takes_as_much_as_the_valid_voxels_say() -> None:
    values = torch.arange(1000.0)
    valid = values < 800
    region = (values >= 100) & (values < 200)
    assert case_score(values, valid, region, 0.005) == pytest.approx((199 + 198 + 197 + 196) / 4)  # 4 of 800
    assert case_score(values, valid, region, 0.5) == pytest.approx(149.5), "a small region counts whole"


@given(st.permutations(range(40)), st.floats(0.01, 1))
def test_the_score_does_not_depend_on_where_values_lie(order: list[int], fraction: float) -> None:
    values = torch.linspace(0, 1, 40) ** 2
    everywhere = torch.ones(40, dtype=torch.bool)
    moved = case_score(values[order], everywhere, everywhere, fraction)
    assert moved == pytest.approx(case_score(values, everywhere, everywhere, fraction))


def test_a_score_of_nothing_is_refused() -> None:
    values, none = torch.ones(4), torch.zeros(4, dtype=torch.bool)
    with pytest.raises(InputError, match="no voxel to score"):
        case_score(values, ~none, none)
    for fraction in (0.0, 1.5, float("nan")):
        with pytest.raises(InputError, match="top_fraction"):
            case_score(values, ~none, ~none, fraction)


@given(
    values=st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=400),
    fraction=st.floats(0.001, 1),
    rising=st.booleans(),
)
def test_the_score_is_the_mean_of_the_largest_values_however_they_lie(
    values: list[float], fraction: float, rising: bool
) -> None:
    map_ = torch.tensor(sorted(values) if rising else values)
    everywhere = torch.ones(len(values), dtype=torch.bool)
    count = max(1, round(fraction * len(values)))
    expected = sum(sorted(values)[-count:]) / count
    assert case_score(map_, everywhere, everywhere, fraction) == pytest.approx(expected, abs=1e-5)


def test_large_values_that_a_regular_sample_meets_or_misses_are_all_found() -> None:
    for start in (0, 1):
        map_ = torch.zeros(16000)
        map_[start::16] = torch.arange(1000).float()
        everywhere = torch.ones(16000, dtype=torch.bool)
        assert case_score(map_, everywhere, everywhere, 0.01) == pytest.approx(sum(range(840, 1000)) / 160)
