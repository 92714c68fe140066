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


@SCHEDULES.add_def("cyclical", "from start to end and back to start, several times; each rise takes half a cycle")
def cyclical(start: float, end: float, epochs: int, cycles: int = 4, rise: float = 0.5) -> Schedule:
    """Return ``cycles`` equal cycles over ``epochs``, and ``end`` afterwards.

    In each, a share ``rise`` of the cycle climbs in a straight line to ``end``, where the rest stays (Fu et al. 2019,
    "Cyclical Annealing Schedule", arXiv:1903.10145, eqs. 6 and 7).
    """

    def value(epoch: int) -> float:
        position = epoch * cycles / epochs
        phase = 1.0 if position >= cycles else (position % 1) / rise
        return start + (end - start) * min(phase, 1.0)

    return value


def delayed(schedule: Schedule, epochs: int, before: float = 0.0) -> Schedule:
    """Return ``before`` for the first ``epochs`` epochs, then ``schedule`` from its beginning."""
    return lambda epoch: before if epoch < epochs else schedule(epoch - epochs)


def _example(factory: Callable[..., Schedule]) -> Callable[[], Schedule]:
    return lambda: factory(1.0, 0.1, 10)


for _factory in (constant, linear, cosine, cyclical):
    _factory.example = _example(_factory)
