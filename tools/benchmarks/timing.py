"""Timing of several ways to do one thing, in turn, so that a busy machine is busy for all of them."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Timing(NamedTuple):
    """How long N runs took."""

    wall: tuple[float, ...]
    """Seconds of each run, by the clock on the wall."""
    cpu: tuple[float, ...]
    """Seconds of each run on all cores together, of this process and of children it has waited for."""

    @property
    def median(self) -> float:
        """Median of the wall times."""
        return statistics.median(self.wall)

    def record(self) -> dict[str, Any]:
        """Return what goes into a benchmark's JSON file."""
        return {
            "runs": len(self.wall),
            "median_s": round(self.median, 4),
            "min_s": round(min(self.wall), 4),
            "max_s": round(max(self.wall), 4),
            "cpu_median_s": round(statistics.median(self.cpu), 4),
        }

    def __str__(self) -> str:
        return f"{self.median:.3f} s [{min(self.wall):.3f}, {max(self.wall):.3f}], {len(self.wall)} runs"


def median_of(callables: Mapping[str, Callable[[], object]], repeats: int = 5, warm_up: int = 1) -> dict[str, Timing]:
    """Time every callable ``repeats`` times, all of them in each round, after ``warm_up`` rounds that do not count.

    Rounds alternate in direction, so that none of them always runs after the same other one. A callable that leaves
    work on a GPU must wait for it.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in callables}
    for turn in range(-warm_up, repeats):
        order = list(callables.items())
        for name, call in order if turn % 2 == 0 else reversed(order):
            began, used = time.perf_counter(), cpu_seconds()
            call()
            if turn >= 0:
                times[name].append((time.perf_counter() - began, cpu_seconds() - used))
    return {name: Timing(*map(tuple, zip(*pairs, strict=True))) for name, pairs in times.items()}


def ratio(slow: Timing, fast: Timing) -> tuple[float, float, float]:
    """Return how many times longer ``slow`` took: median, least and largest of the rounds, each with its own."""
    rounds = [s / f for s, f in zip(slow.wall, fast.wall, strict=True)]
    return statistics.median(rounds), min(rounds), max(rounds)


def machine() -> dict[str, Any]:
    """Return what figures were measured on."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "platform": platform.platform(),
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16": torch.cpu._is_avx512_bf16_supported(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    }


def cpu_seconds() -> float:
    """Return the seconds all cores have computed for this process and for children it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
