"""Timings are fair: everything is run equally often, in alternating order."""

from tools.benchmarks.timing import Timing, median_of, ratio


def test_every_callable_runs_in_every_round_and_the_order_alternates() -> None:
    calls: list[str] = []
    times = median_of({name: lambda name=name: calls.append(name) for name in "ab"}, repeats=3, warm_up=1)
    assert "".join(calls) == "ba" + "ab" + "ba" + "ab"
    assert all(len(timing.wall) == len(timing.cpu) == 3 for timing in times.values())


def test_a_ratio_compares_runs_of_the_same_round() -> None:
    slow, fast = Timing((6.0, 8.0, 40.0), (0.0,) * 3), Timing((2.0, 1.0, 10.0), (0.0,) * 3)
    assert slow.median == 8
    assert ratio(slow, fast) == (4, 3, 8)
