"""The gallery's table: a row a run, with how it went and the settings in which the runs differ."""

import json
import math
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from fracture_vae.markup import table, text
from fracture_vae.report.gallery.runs import Run
from fracture_vae.report.recorded import differing

METRICS = {
    "val/recon_loss": "reconstruction",
    "val/kl_loss": "KL",
    "val/total_loss": "total",
    "val/active_units": "active units",
}
"""Metrics of the validation that have a column wherever a run has them; others have one where any is not 0."""


class _Column(NamedTuple):
    title: str
    cells: list[Any]
    """A number, text, or None, by run."""
    kind: str = "number"


def overview(runs: Sequence[Run]) -> str:
    """Return the table of ``runs`` and what its figures are; a run's name leads to the element ``run-<n>``, from 1."""
    columns = _columns(runs)
    heads = (
        f'<th scope="col" class="{column.kind}"><button type="button">{text(column.title)}</button></th>'
        for column in columns
    )
    rows = ("<tr>" + "".join(_cell(column, row) for column in columns) + "</tr>" for row in range(len(runs)))
    return (
        '<div class="scroll" role="region" aria-label="All runs" tabindex="0">\n'
        f"{table(heads, rows, 'runs')}\n</div>\n{_CAPTION}"
    )


_CAPTION = """<p class="quiet">A column's head sorts by it. Figures are of the validation after the last epoch, per
sample; of a VAE in nats, NLL being -log p(x). Totals weigh the KL by each run's own β, and reconstructions and NLL of
different likelihoods or data are on different scales: compare like with like. Seconds are those of the epochs. The
settings shown are those of which runs have different values.</p>"""


def _columns(runs: Sequence[Run]) -> list[_Column]:
    """Return the table's columns: what a run is, how it went, the settings in which the runs differ, and the rest."""
    seconds = [[row["seconds"] for row in run.rows if "seconds" in row] for run in runs]
    settings = [run.settings for run in runs]
    measured = dict.fromkeys(name for run in runs for row in run.rows for name in row if name.startswith("val/"))
    bounds = [run.bound for run in runs]
    others = [name for name in measured if name not in METRICS and any(run.last(name) for run in runs)]
    return [
        _Column("run", [run.name for run in runs], "name"),
        _Column("state", [run.state for run in runs], "state"),
        *(_Column(title, [run.last(name) for run in runs]) for name, title in METRICS.items() if name in measured),
        *([_Column("NLL at most", bounds)] if any(bound is not None for bound in bounds) else []),
        _Column("epochs", [run.epochs for run in runs]),
        _Column("seconds", [sum(own) if own else None for own in seconds]),
        _Column("seconds an epoch", [median(own) if own else None for own in seconds]),
        *(_Column(_words(key), [_setting(own.get(key)) for own in settings], "setting") for key in differing(settings)),
        *(_Column(_words(name[4:].removesuffix("_loss")), [run.last(name) for run in runs]) for name in others),
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _setting(value: Any) -> Any:
    """Return a setting as a number or as text, or None where the run does not have it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if value is None or is_number or isinstance(value, str) else json.dumps(value)


def _cell(column: _Column, row: int) -> str:
    value = column.cells[row]
    if value is None:
        return f'<td class="{column.kind}">–</td>'
    if isinstance(value, int | float):
        sortable = f' data-value="{value}"' if math.isfinite(value) else ""
        return f'<td class="{column.kind}"{sortable}>{_figure(value)}</td>'
    if column.kind == "name":
        return f'<th scope="row" class="name"><a href="#run-{row + 1}">{text(value, 200)}</a></th>'
    kind = value if column.kind == "state" else column.kind
    return f'<td class="{kind}">{text(value, 60)}</td>'


def _figure(value: float) -> str:
    return str(value) if isinstance(value, int) or abs(value) >= 1e4 else f"{value:.4g}"
