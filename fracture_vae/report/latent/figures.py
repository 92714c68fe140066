"""The figures of a latent space: points on a plane, and decoded images in rows and columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from fracture_vae.files import replacing
from fracture_vae.training.pictures import tiled

DPI = 110
_SCALE = 2.0  # figure pixels a pixel of a decoded image
_GAP = 1  # pixels between images
_WIDEST, _NARROWEST = 16.0, 6.0  # inches of the part of a figure that shows images
_BELOW_TITLE = 0.1  # inches
_FEW = 10  # classes that colours told apart by name suffice for


class Heading(NamedTuple):
    """What a figure says of itself: its title, run and checkpoint above it; data, number of samples and seed below."""

    title: str
    run: str
    note: str


class Grid(NamedTuple):
    """Decoded images in rows and columns, and what the rows and columns are.

    Attributes:
        images: (N, C, H, W) in [0, 1], row by row.
        columns: what stands below each column.
        rows: what stands beside each row.
        across: of the horizontal axis.
        up: of the vertical axis.
    """

    images: Tensor
    columns: Sequence[str]
    rows: Sequence[str]
    across: str
    up: str


def head(figure: Figure, heading: Heading) -> None:
    """Put a heading on a figure with constrained layout."""
    figure.suptitle(f"{heading.title}\n{heading.run}", fontsize=11)
    figure.supxlabel(heading.note, fontsize=8, color="dimgrey")


def save(figure: Figure, path: Path) -> None:
    """Write ``figure``, which has a heading, to ``path``, whole or not at all."""
    _close_up(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def _close_up(figure: Figure) -> None:
    """Take away the empty space that images of a fixed aspect leave below the title."""
    figure.draw_without_rendering()
    title = max(text.get_window_extent().y0 for text in figure.texts)
    empty = (title - figure.axes[0].get_window_extent().y1) / figure.dpi - _BELOW_TITLE
    if empty > 0:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height - empty)
        figure.draw_without_rendering()  # one pass of the layout alone leaves the axis's name on the note below


def scatter(places: Tensor, labels: Tensor, across: str, up: str) -> Figure:
    """Return points (N, 2) in the colours of their classes (N,), with a legend that counts them."""
    figure = Figure(figsize=(8.0, 6.6), layout="constrained")
    axes = figure.subplots()
    classes = sorted(set(labels.tolist()))
    colours = matplotlib.colormaps["tab10" if len(classes) <= _FEW else "turbo"]
    for place, label in enumerate(classes):
        own = places[labels == label].numpy()
        colour = colours(place if len(classes) <= _FEW else place / (len(classes) - 1))
        axes.scatter(own[:, 0], own[:, 1], s=9, color=colour, alpha=0.75, linewidths=0, label=f"{label}  ({len(own)})")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    axes.legend(title="class  (images)", frameon=False, markerscale=2.5, **beside)
    return figure


def pictures(grid: Grid) -> Figure:
    """Return images in rows and columns, each row and column labelled."""
    height, width = grid.images.shape[2:]
    columns, rows = len(grid.columns), len(grid.rows)
    inches = min(_WIDEST, max(_NARROWEST, columns * (width + _GAP) * _SCALE / DPI))
    tall = inches * rows * (height + _GAP) / (columns * (width + _GAP))
    beside = 0.9 + 0.07 * max(map(len, grid.rows))  # inches for what stands there, so that nothing is squeezed
    below = 1.6 + 0.07 * max(map(len, grid.columns)) + 0.2 * grid.across.count("\n")
    figure = Figure(figsize=(inches + beside, tall + below), layout="constrained")
    axes = figure.subplots()
    axes.imshow(tiled(grid.images, columns, _GAP), cmap="gray", vmin=0, vmax=255)
    _mark(axes, columns, rows, (height + _GAP, width + _GAP))
    axes.set_xticklabels(grid.columns, fontsize=8, rotation=90 if max(map(len, grid.columns)) > 4 else 0)
    axes.set_yticklabels(grid.rows, fontsize=8)
    axes.set_xlabel(grid.across)
    axes.set_ylabel(grid.up)
    return figure


def _mark(axes: Axes, columns: int, rows: int, cell: tuple[int, int]) -> None:
    """Put a tick at the middle of each column and row of cells."""
    axes.set_xticks((np.arange(columns) + 0.5) * cell[1] - 1)
    axes.set_yticks((np.arange(rows) + 0.5) * cell[0] - 1)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
