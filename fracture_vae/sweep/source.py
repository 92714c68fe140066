"""Where a sweep's next run comes from, and who hears of its result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Point(NamedTuple):
    """The swept values of a run; ``number`` is its source's own."""

    number: int
    values: Mapping[str, Any]


class Source(Protocol):
    """Gives out points to run until there are no more."""

    watches: bool
    """Whether `pruned` wants to be asked while runs are at work."""

    @property
    def left(self) -> int:
        """How many points it has yet to give out."""
        ...

    def ask(self) -> Point | None:
        """Return the next point, or None where there is none left."""
        ...

    def tell(self, point: Point, run: Path | None) -> None:
        """Hear that a point's run came to its end in the folder ``run``, or failed (None)."""
        ...

    def pruned(self, point: Point, run: Path) -> bool:
        """Return whether a run at work is not worth going on with; it counts as done then."""
        ...

    def done(self) -> list[Mapping[str, Any]]:
        """Return the values of all points that are done or known to be wanted, in the order of the table."""
        ...


class Grid:
    """Gives out given points, one after the other."""

    watches = False

    def __init__(self, points: list[dict[str, Any]]) -> None:
        self._points = points
        self._next = 0

    @property
    def left(self) -> int:
        """How many points it has yet to give out."""
        return len(self._points) - self._next

    def ask(self) -> Point | None:
        """Return the next point, or None where there is none left."""
        if not self.left:
            return None
        self._next += 1
        return Point(self._next - 1, self._points[self._next - 1])

    def tell(self, point: Point, run: Path | None) -> None:
        """A grid does not care."""

    def pruned(self, point: Point, run: Path) -> bool:  # noqa: ARG002
        """A grid is run as a whole."""
        return False

    def done(self) -> list[Mapping[str, Any]]:
        """Return all points."""
        return list(self._points)
