"""The course of a metric over the epochs as an inline SVG, which needs no script to be seen."""

import math
from collections.abc import Callable, Mapping, Sequence

from fracture_vae.markup import text, values
from fracture_vae.report.gallery.runs import Run

SPLITS = {"train": "training", "val": "validation"}
CURVES = {
    "total_loss": "total",
    "recon_loss": "reconstruction",
    "kl_loss": "KL",
    "active_units": "active units",
    "beta": "weight of the KL (β)",
    "vq_loss": "quantizer's loss",
    "perplexity": "codebook perplexity",
}
"""Metric to what it is called: those that are drawn."""
MOST_POINTS = 400
"""Epochs a curve shows; of longer runs evenly spaced ones, the last among them."""
_LARGEST = 1e100  # what lies beyond, infinity among it, has no place on a scale
_WIDTH, _HEIGHT = 300, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 10, 8, 22  # on the left there is room for 1.23e+06

Points = Sequence[tuple[int, float]]


def curves(run: Run) -> str:
    """Return a chart for each metric in ``CURVES`` that the run has; what stays the same is said in a line."""
    drawn, constant = [], []
    for metric, title in CURVES.items():
        series = {split: points for split in SPLITS if (points := _points(run, f"{split}/{metric}"))}
        heights = {value for points in series.values() for _, value in points}
        if len(heights) == 1:
            constant.append(f"{title} {heights.pop():.4g}")
        elif heights:
            drawn.append(chart(title, series))
    told = f'<p class="quiet">In all epochs: {text(", ".join(constant))}.</p>' if constant else ""
    return f'<div class="row">{"".join(drawn)}</div>{told}' if drawn else told


def _points(run: Run, column: str) -> Points:
    rows = [row for row in run.rows if abs(row.get(column, math.nan)) < _LARGEST]
    step = -(-len(rows) // MOST_POINTS) or 1
    return [(int(row["epoch"]), row[column]) for row in rows[::-1][::step][::-1]]


def chart(title: str, series: Mapping[str, Points]) -> str:
    """Return one figure: a line a split, dots where it has a point alone; its values are in it for the script.

    Args:
        title: plain text.
        series: for each of ``SPLITS``, its points (epoch, value), finite, at least one; at least one split.
    """
    epochs = [epoch for points in series.values() for epoch, _ in points]
    heights = [value for points in series.values() for _, value in points]
    first, last, low, high = min(epochs), max(epochs), min(heights), max(heights)
    across, up = _scale(first, last, _LEFT, _WIDTH - _RIGHT), _scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    drawn = []
    for split, points in series.items():
        places = [(across(epoch), up(value)) for epoch, value in points]
        drawn.append(f'<polyline class="{split}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
        if len(places) == 1:
            drawn.append(f'<circle class="{split}" cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="3"/>')
    axis = (
        f'<path class="axis" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"/>'
        + "".join(_label(_LEFT - 5, up(value) + 4, _short(value), "end") for value in dict.fromkeys((low, high)))
        + _label((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, "epoch" if last > first else f"epoch {first}", "middle")
        + "".join(_label(across(epoch), _HEIGHT - 6, str(epoch), "middle") for epoch in (first, last) if last > first)
    )
    ends = {split: f"{SPLITS[split]} {points[-1][1]:.4g} at epoch {points[-1][0]}" for split, points in series.items()}
    spoken = text(f"{title} by epoch: {'; '.join(ends.values())}")
    shown = ", ".join(f'<b class="{split}">{end}</b>' for split, end in ends.items())
    known = {
        "across": [first, last, _LEFT, _WIDTH - _RIGHT],
        "series": [{"split": split, "name": SPLITS[split], "points": points} for split, points in series.items()],
    }
    return (
        f'<figure class="chart">\n<figcaption>{text(title)}</figcaption>\n'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" tabindex="0" aria-label="{spoken}" '
        f'data-curve="{text(values(known))}">{axis}{"".join(drawn)}<path class="mark" d=""/></svg>\n'
        f"<output>{shown}</output>\n</figure>\n"
    )


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """Return what leads ``low`` to ``start`` and ``high`` to ``stop``; where they are one, to the middle."""
    if high == low:
        return lambda _: (start + stop) / 2
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def _short(value: float) -> str:
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def _label(x: float, y: float, words: str, align: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{align}">{words}</text>'
