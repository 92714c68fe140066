"""The comparison table of a sweep, for spreadsheets and for people."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fracture_vae.report.sweep.figures import FIGURES, Row


def columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Return the keys swept and the figures that any of ``rows`` has: an autoencoder has no KL divergence."""
    keys = list(dict.fromkeys(key for row in rows for key in row.values))
    known = dict.fromkeys([*FIGURES, *(name for row in rows for name in row.figures)])
    return keys, [name for name in known if any(name in row.figures for row in rows)]


def csv_text(rows: Sequence[Row]) -> str:
    """Return the table as CSV, numbers in full; a value that is no number is JSON, but for plain text."""
    keys, figures = columns(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*keys, *figures, "run"])
    for row in rows:
        swept = [_plain(row.values.get(key)) for key in keys]
        writer.writerow([*swept, *(row.figures.get(name, "") for name in figures), row.run])
    return text.getvalue()


def markdown(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    """Return the table in markdown, its columns aligned so that it reads in a terminal; ``names`` are the keys' own."""
    keys, figures = columns(rows)
    head = [*(names[key] for key in keys), *figures, "run"]
    swept = [[_plain(row.values.get(key), 6) for row in rows] for key in keys]
    reached = [_rounded([row.figures.get(name) for row in rows]) for name in figures]
    body = zip(*swept, *reached, [row.run for row in rows], strict=True)
    cells = [[text.replace("|", "\\|") for text in line] for line in (head, *body)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(_aligned(line, widths)) + " |" for line in cells]
    rule = "| " + " | ".join("-" * (w - 1) + ":" for w in widths[:-1]) + " | " + "-" * widths[-1] + " |"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return a line's cells padded to their columns: numbers to the right, the run's folder to the left."""
    *numbers, run = line
    return [*(text.rjust(width) for text, width in zip(numbers, widths, strict=False)), run.ljust(widths[-1])]


def _plain(value: Any, digits: int = 17) -> str:
    if isinstance(value, float):
        return f"{value:.{digits}g}" if digits < 17 else repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def _rounded(column: Sequence[float | None]) -> list[str]:
    """Return a column's numbers as text, all with as many decimals: none of counts, two where some reach 10."""
    values = [value for value in column if value is not None]
    whole = all(float(value).is_integer() for value in values)
    decimals = 0 if whole else 2 if max(map(abs, values)) >= 10 else 4
    return ["" if value is None else f"{value:.{decimals}f}" for value in column]
