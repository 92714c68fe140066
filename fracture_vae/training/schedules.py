"""Values that change with the epoch: pure functions of the epoch number, by name."""

import math
from collections.abc import Callable

from fracture_vae.registry import SCHEDULES

Schedule = Callable[[int], float]
"""From the epoch (0 for the first) to the value."""


@SCHEDULES.add_def("constant", "start throughout")
def constant(start: float, end: float, epochs: int) -> Schedule:
    """Return the schedule that stays at ``start``; ``end`` and ``epochs`` are taken for uniformity, and ignored."""
    del end, epochs
    return lambda epoch: start + 0.0 * epoch


@SCHEDULES.add_def("linear", "from start to end in a straight line")
def linear(start: float, end: float, epochs: int) -> Schedule:
    """Return start + (end - start) · epoch / epochs, and ``end`` afterwards."""
    return lambda epoch: start + (end - start) * min(epoch / epochs, 1.0)


@SCHEDULES.add_def("cosine", "from start to end along half a cosine")
def cosine(start: float, end: float, epochs: int) -> Schedule:
    """Return end + (start - end) · (1 + cos(π · epoch / epochs)) / 2, and ``end`` afterwards.

    Loshchilov & Hutter 2017, eq. 5, without restarts (arXiv:1608.03983).
    """
    return lambda epoch: end + (start - end) * (1 + math.cos(math.pi * min(epoch / epochs, 1.0))) / 2


def _example(factory: Callable[[float, float, int], Schedule]) -> Callable[[], Schedule]:
    return lambda: factory(1.0, 0.1, 10)


for _factory in (constant, linear, cosine):
    _factory.example = _example(_factory)
