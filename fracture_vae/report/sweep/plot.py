"""Reconstruction against KL divergence: the rate and the distortion that a sweep's runs trade for one another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure

from fracture_vae.report.sweep.figures import Row

MARKERS = "os^Dv<>PXh"
_WEIGHTS = ("beta", "kl_weight")
_APART = 0.04
"""Of the colour bar's length, between two of its labels."""


def trade_off(rows: Sequence[Row], names: Mapping[str, str], title: str) -> Figure | None:
    """Draw a point a run: x the KL divergence and y the reconstruction term, both nats per image, of the validation.

    Colour is the KL term's weight where it is swept (else the first key with numbers), on a logarithmic bar; the
    marker is the next key. Where no third is swept, runs that share a marker are joined in the order of the weight.
    The dotted line is where recon + KL is as small as the best run's. None where fewer than two runs have both terms.

    Args:
        rows: the runs.
        names: of the keys swept, as shown.
        title: over the picture.
    """
    shown = [row for row in rows if {"recon", "kl"} <= row.figures.keys()]
    if len(shown) < 2:
        return None
    colour, marker = axes_of(rows, names)
    figure = Figure(figsize=(7.2, 5), layout="constrained")
    axes = figure.subplots()
    norm = None if colour is None else _norm([float(row.values[colour]) for row in shown])
    groups = _groups(shown, marker)
    points = None
    for (label, group), symbol in zip(groups.items(), MARKERS, strict=False):
        x, y = ([row.figures[name] for row in group] for name in ("kl", "recon"))
        axes.plot([], [], symbol, color="white", markeredgecolor="black", label=label)  # colour is the weight's alone
        weights = [0.0 if colour is None else float(row.values[colour]) for row in group]
        order = np.argsort(weights, kind="stable")
        if colour is not None and len(names) <= 2:
            axes.plot(np.array(x)[order], np.array(y)[order], color="0.75", linewidth=1, zorder=1)
        points = axes.scatter(
            x,
            y,
            c=weights,
            norm=norm,
            cmap="viridis",
            marker=symbol,
            s=55,
            edgecolors="black",
            linewidths=0.5,
            zorder=2,
        )
    if points is not None and colour is not None:
        bar = figure.colorbar(points, ax=axes, label=_weight_label(names[colour]))
        weights = sorted({float(row.values[colour]) for row in shown})
        if len(weights) > 1 and np.diff(bar.norm(weights)).min() > _APART:
            bar.set_ticks(weights, labels=[f"{weight:.6g}" for weight in weights])
            bar.minorticks_off()
    _equal_sum(axes, min(row.figures["recon"] + row.figures["kl"] for row in shown))
    axes.set_xlabel("KL divergence (nats per image)")
    axes.set_ylabel("reconstruction (nats per image)")
    axes.set_title(title)
    axes.legend(frameon=False)
    return figure


def axes_of(rows: Sequence[Row], names: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the keys that colour and marker show: the KL term's weight or the first key of numbers, and the next."""
    numbers = [key for key in names if all(_is_number(row.values[key]) for row in rows)]
    weights = [key for key in numbers if names[key].split("#")[-1] in _WEIGHTS]
    colour = next(iter(weights or numbers), None)
    others = [key for key in names if key != colour]
    return colour, others[0] if others else None


def _groups(rows: Sequence[Row], marker: str | None) -> dict[str, list[Row]]:
    """Return the rows by the label of their marker; all under one where there are more values than markers."""
    groups: dict[str, list[Row]] = {}
    if marker is not None:
        for row in sorted(rows, key=lambda row: _order(row.values[marker])):
            groups.setdefault(f"{marker.split('#')[-1]} {_told(row.values[marker])}", []).append(row)
    return groups if 0 < len(groups) <= len(MARKERS) else {f"{len(rows)} runs": list(rows)}


def _order(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if _is_number(value) else (1, 0.0, str(value))


def _told(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _norm(values: Sequence[float]) -> Normalize:
    """Return a logarithmic scale; with zeros among the values it is linear below the smallest other."""
    low, high = min(values), max(values)
    if low == high:
        return Normalize(low - 0.5, high + 0.5)
    if low > 0:
        return LogNorm(low, high)
    return SymLogNorm(min(abs(value) for value in values if value), vmin=low, vmax=high)


def _weight_label(name: str) -> str:
    return f"KL weight ({name})" if name.split("#")[-1] in _WEIGHTS else name


def _equal_sum(axes: Any, best: float) -> None:
    limits = axes.get_xlim(), axes.get_ylim()
    x = np.array(limits[0])
    axes.plot(x, best - x, ":", color="0.4", linewidth=1, zorder=0, label=f"recon + KL = {best:.1f}, the best here")
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
