"""The gallery's page: a table of all runs that sorts, then each run with its record, curves, pictures and latent plane.

Signatures others rely on::

    write_gallery(groups: Sequence[Path], out: Path | None = None) -> Gallery
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from fracture_vae import __version__
from fracture_vae.errors import InputError
from fracture_vae.files import require_folder, write_text
from fracture_vae.markup import count, document, text
from fracture_vae.report.gallery.curves import curves
from fracture_vae.report.gallery.explorer import explorer
from fracture_vae.report.gallery.latent import decoded_plane
from fracture_vae.report.gallery.overview import overview
from fracture_vae.report.gallery.pictures import Picture, last_pictures
from fracture_vae.report.gallery.record import record
from fracture_vae.report.gallery.runs import Run, find_runs
from fracture_vae.report.recorded import OpenStudy
from fracture_vae.training.run_folder import now
from fracture_vae.training.study import open_study

PAGE = "gallery.html"
_PIXELS = 16 * 2**20
"""Of all decoded planes together, as far as the least and the largest size of a plane allow."""


class Gallery(NamedTuple):
    """What was written.

    Attributes:
        path: the page.
        runs: how many are on it.
        explorers: how many of them have a latent explorer.
        size: bytes.
    """

    path: Path
    runs: int
    explorers: int
    size: int


def write_gallery(groups: Sequence[Path], out: Path | None = None) -> Gallery:
    """Write one page of all runs below ``groups``; it holds everything it shows.

    Runs that are not finished, or lack files, are shown with what there is and a note.

    Args:
        groups: folders that hold run folders, or run folders; at least one.
        out: the page; ``gallery.html`` in the first group by default.

    Raises:
        InputError: a group that is no folder or holds no run, or a page that cannot be written.
    """
    path = out or groups[0] / PAGE
    if path.is_dir():
        raise InputError(f"{path}: a folder; give the page a name, such as {path / PAGE}")
    runs = find_runs(groups)
    require_folder(path.parent)
    opened = lru_cache(maxsize=1)(open_study)
    sections, explorers = [], 0
    for number, run in enumerate(runs, 1):
        section, explored = _section(run, number, opened, _PIXELS // len(runs))
        sections.append(section)
        explorers += explored
    body = "\n".join([_head(runs, groups), overview(runs), *sections])
    parts = files(__package__)
    style, script = (parts.joinpath(name).read_text(encoding="utf-8") for name in ("gallery.css", "gallery.js"))
    size = len(body.encode("utf-8", "backslashreplace")) / 2**20
    made = (
        f"<footer>This page holds all it shows, {size:.2f} MiB. Made by fracture-vae {__version__}, {now()}.</footer>"
    )
    page = document("Gallery of runs", f"{body}\n{made}", style, script)
    write_text(path, page)
    return Gallery(path, len(runs), explorers, len(page.encode()))


def _head(runs: Sequence[Run], groups: Sequence[Path]) -> str:
    finished = sum(run.state == "finished" for run in runs)
    names = ", ".join(text(group.resolve().name) for group in groups)
    return (
        '<h1 id="top">Gallery of runs</h1>\n'
        f'<p class="lead">{count(len(runs), "run")} in {names}, {finished} finished.</p>'
    )


def _section(run: Run, number: int, opened: OpenStudy, pixels: int) -> tuple[str, bool]:
    """Return the markup of one run, and whether it has a latent explorer."""
    pictures, damaged = last_pictures(run)
    try:
        plane = decoded_plane(run, opened, pixels)
        latent = explorer(plane, run.name)
    except InputError as error:
        plane, latent = None, f'<p class="quiet">No latent explorer: {text(error)}.</p>'
    notes = "".join(f"<li>{text(note)}</li>" for note in (*run.notes, *damaged))
    figures = "\n".join(_figure(picture, run.name) for picture in pictures)
    parts = [
        f'<section class="run" id="run-{number}">\n<h2>{text(run.name, 200)}</h2>',
        f'<ul class="notes">{notes}</ul>' if notes else "",
        record(run),
        curves(run),
        f'<div class="pictures">{figures}</div>' if figures else "",
        latent,
        '<p class="quiet"><a href="#top">All runs</a></p>\n</section>',
    ]
    return "\n".join(part for part in parts if part), plane is not None


def _figure(picture: Picture, name: str) -> str:
    width, height = picture.size
    return (
        f'<figure style="max-width: {width}px"><img src="{picture.uri}" alt="{text(f"{picture.title}; {name}")}" '
        f'width="{width}" height="{height}"><figcaption>{text(picture.title)}</figcaption></figure>'
    )
