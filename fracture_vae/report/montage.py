"""Several 2D runs in one picture: what each last made of the same images, and its samples."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from fracture_vae.errors import InputError
from fracture_vae.files import read_json, replacing
from fracture_vae.report.formats import require_picture_name
from fracture_vae.report.recorded import differing, settings
from fracture_vae.training.run_folder import RESOLVED_CONFIG, followed

MOST_RUNS = 48
KINDS = {"reconstructions": "images above reconstructions", "samples": "draws from the prior, decoded"}
"""Folders of a run's pictures, to what they show."""
_COLUMNS = 4
_CELL, _WIDTH = 3.7, 3.5  # inches across of a run, and of its pictures
_CAPTION, _HEAD, _FOOT = 0.3, 0.5, 0.35  # inches below a picture, at the top and at the foot
_LINE = 46  # characters of a line above a run


class _Layout(NamedTuple):
    """What each run has room for: lines of its label, and by kind its pictures' height as a share of their width."""

    lines: int
    kinds: Mapping[str, float]

    @property
    def label(self) -> float:
        """Inches of the label."""
        return 0.17 * self.lines + 0.12

    @property
    def height(self) -> float:
        """Inches of a run."""
        return self.label + sum(_WIDTH * share + _CAPTION for share in self.kinds.values()) + 0.15


class _Shown(NamedTuple):
    """A run folder, its settings, the last epoch with pictures, and those by kind, (H, W, 3) uint8."""

    folder: Path
    settings: Mapping[str, Any]
    epoch: int
    pictures: Mapping[str, NDArray[np.uint8]]


def draw_montage(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Draw the last reconstructions and samples that each run wrote, side by side, with the settings that differ.

    Weights are not needed: the pictures are those in the run folders.

    Args:
        runs: run folders of the 2D bundles.
        out: the picture.

    Raises:
        InputError: no run, too many, one without such pictures or with damaged ones, or ``out`` is no picture's name.
    """
    if not 1 <= len(runs) <= MOST_RUNS:
        raise InputError(f"{len(runs)} runs: give 1 to {MOST_RUNS} run folders")
    require_picture_name(out)
    shown = list({run.folder: run for run in map(_read, map(Path, runs))}.values())
    told = differing([run.settings for run in shown])
    labels = [_label(run, {key: run.settings[key] for key in told if key in run.settings}) for run in shown]
    layout = _layout(shown, labels)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    width, height = max(_CELL * columns, 2 * _CELL), layout.height * rows + _HEAD + _FOOT
    figure = Figure(figsize=(width, height))
    for number, (run, label) in enumerate(zip(shown, labels, strict=True)):
        left = (width - _CELL * columns) / 2 + _CELL * (number % columns)
        _draw(figure, run, label, layout, (left, height - _HEAD - layout.height * (number // columns)))
    title = f"{len(shown)} run{'s' if len(shown) > 1 else ''}, with the settings that differ"
    figure.text(0.5, 1 - _HEAD / 2 / height, title, ha="center", va="center", fontsize=12)
    seeds = ", ".join(sorted({json.dumps(run.settings.get("seed")) for run in shown}))
    note = f"the first validation images of each run; prior draws of one seed; trained with seed {seeds}"
    figure.text(0.5, _FOOT / 2 / height, note, ha="center", va="center", fontsize=8, color="dimgrey")
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=110)
    return Path(out)


def _read(run: Path) -> _Shown:
    if not followed(run).is_dir():
        raise InputError(f"{run}: no such run folder")
    folder = followed(run).resolve()
    last = {kind: max((folder / kind).glob("epoch_*.png"), default=None) for kind in KINDS}
    files = {kind: file for kind, file in last.items() if file is not None}
    if "reconstructions" not in files:
        raise InputError(
            f"{run}: has no reconstructions/epoch_….png; give a run folder of mnist_ae, mnist_vae or mnist_vq"
        )
    epoch = files["reconstructions"].stem.removeprefix("epoch_")
    config = read_json(folder / RESOLVED_CONFIG)
    return _Shown(
        folder, settings(config), int(epoch) if epoch.isdecimal() else 0,
        {kind: _picture(file) for kind, file in files.items()},
    )  # fmt: skip


def _picture(file: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises all of these
        raise InputError(f"{file}: damaged, no picture; leave this run out or train it again") from error


def _height(picture: NDArray[np.uint8]) -> float:
    """Return a picture's height as a share of its width."""
    return picture.shape[0] / picture.shape[1]


def _label(run: _Shown, own: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key} {_value(value)}" for key, value in own.items())
    return "\n".join([f"{run.folder.name}, epoch {run.epoch}", *textwrap.wrap(told, _LINE)])


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _layout(shown: Sequence[_Shown], labels: Sequence[str]) -> _Layout:
    kinds = {
        kind: max(_height(run.pictures[kind]) for run in shown if kind in run.pictures)
        for kind in KINDS
        if any(kind in run.pictures for run in shown)
    }
    return _Layout(max(label.count("\n") + 1 for label in labels), kinds)


def _draw(figure: Figure, run: _Shown, label: str, layout: _Layout, corner: tuple[float, float]) -> None:
    """Draw one run below and right of ``corner`` (inches): its label, and its pictures one above the other."""
    width, height = figure.get_size_inches()
    left, top = corner
    figure.text((left + _CELL / 2) / width, top / height, label, ha="center", va="top", fontsize=9, linespacing=1.2)
    top -= layout.label
    for kind, share in layout.kinds.items():
        tall = _WIDTH * share
        axes = figure.add_axes(
            ((left + (_CELL - _WIDTH) / 2) / width, (top - tall) / height, _WIDTH / width, tall / height)
        )
        axes.set(xticks=[], yticks=[], anchor="N")
        axes.spines[:].set_visible(False)
        axes.set_xlabel(KINDS[kind] if kind in run.pictures else "no prior to draw from", fontsize=8)
        if kind in run.pictures:
            axes.imshow(run.pictures[kind])
        top -= tall + _CAPTION
