"""Intervals over patients, and pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.evaluation.resampling import RESAMPLES, Sampled, draw, sampled


def test_a_resample_draws_as_many_patients_as_there_are() -> None:
    resamples = draw(["b", "a", "b", "c"], seed=3)
    assert resamples.names.tolist() == ["a", "b", "c"]
    assert resamples.times.shape == (RESAMPLES, 3)
    assert (resamples.times.sum(1) == 3).all()
    assert resamples.places(["c", "a"]).tolist() == [2, 0]
    np.testing.assert_array_equal(resamples.times, draw(["a", "b", "c"], seed=3).times)
    assert (resamples.times != draw(["a", "b", "c"], seed=4).times).any()


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(size=400)
    resamples = draw([f"p{i}" for i in range(400)])
    mean = sampled(lambda times: {"mean": times @ values / times.sum(1)}, resamples, 400)["mean"].estimate()
    assert mean.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(400)
    assert mean.low == pytest.approx(mean.value - half, abs=0.1 * half)
    assert mean.high == pytest.approx(mean.value + half, abs=0.1 * half)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=40))
def test_the_interval_holds_the_value_and_does_not_depend_on_the_blocks(values: list[float]) -> None:
    numbers = np.array(values)
    resamples = draw([f"p{i}" for i in range(len(values))])

    def mean(times: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": times @ numbers / times.sum(1)}

    found, piecewise = (sampled(mean, resamples, width)["mean"] for width in (1, 1 << 20))
    np.testing.assert_allclose(found.samples, piecewise.samples, atol=1e-12)
    low, high = found.estimate()[1:]
    assert low - 1e-9 <= found.value <= high + 1e-9


def test_a_figure_and_itself_differ_by_nothing_however_wide_its_interval() -> None:
    values = np.arange(20.0)
    resamples = draw([f"p{i:02}" for i in range(20)])
    one = sampled(lambda times: {"mean": times @ values / 20}, resamples, 20)["mean"]
    more = Sampled(one.value + 1, one.samples + 1)
    assert more.minus(one).estimate() == pytest.approx((1, 1, 1)), "paired: the shared spread is gone"
    assert one.estimate().high - one.estimate().low > 3


def test_resamples_that_do_not_allow_a_figure_do_not_count_and_nor_does_a_figure_of_none() -> None:
    resamples = draw(["a", "b", "c"])

    def statistic(times: np.ndarray) -> dict[str, np.ndarray]:
        return {"with a": np.where(times[:, 0] > 0, 1.0, np.nan), "never": np.full(len(times), np.nan)}

    found = sampled(statistic, resamples, 3)
    assert found.keys() == {"with a"}
    assert np.isnan(found["with a"].samples).any()
    assert found["with a"].estimate() == (1, 1, 1)
