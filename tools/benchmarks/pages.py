"""Lines of tables in Markdown, of which the benchmarks' pages are made."""

from collections.abc import Sequence
from statistics import mean, stdev


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]


def interval(values: Sequence[float], sign: str = "", digits: int = 3) -> str:
    """Return (value, low end, high end) as 'value [low, high]'; ``sign`` '+' shows that of positive ones."""
    value, low, high = (f"{number:{sign}.{digits}f}" for number in values)
    return f"{value} [{low}, {high}]"


def spread(values: Sequence[float]) -> str:
    """Return 'mean ± standard deviation (n)', or 'value (1)'."""
    return f"{mean(values):.3f} ± {stdev(values):.3f} ({len(values)})" if len(values) > 1 else f"{values[0]:.3f} (1)"
