"""The last pictures of a run, small enough for a page."""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from fracture_vae.markup import data_uri
from fracture_vae.report.gallery.runs import Run

LONGEST = 640
"""Pixels along a picture's longer side on the page."""
_FOLDERS = {
    "reconstructions": "Reconstructions: validation images above what the network makes of them",
    "samples": "Samples: decoded draws from the prior",
    "traversals": "Traversal: the decoded plane of the two latents, at equally likely steps of N(0, 1)",
}
_OTHERWISE = "figures/validation.png"
"""What a run of volumes has instead."""


class Picture(NamedTuple):
    """A picture of a run.

    Attributes:
        title: what it shows, and after which epoch.
        uri: the picture itself.
        size: (width, height) in pixels of the page.
    """

    title: str
    uri: str
    size: tuple[int, int]


def last_pictures(run: Run) -> tuple[list[Picture], list[str]]:
    """Return the last picture of each kind that a run has, and notes on those that can't be read."""
    files = {title: max((run.folder / kind).glob("epoch_*.png"), default=None) for kind, title in _FOLDERS.items()}
    if not any(files.values()) and (run.folder / _OTHERWISE).is_file():
        files = {"A validation image, its reconstruction and the error": run.folder / _OTHERWISE}
    pictures, notes = [], []
    for title, path in files.items():
        if path is None:
            continue
        try:
            uri, size = _held(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            notes.append(f"{path.relative_to(run.folder).as_posix()} is damaged.")  # Pillow raises all of these
            continue
        epoch = path.stem.removeprefix("epoch_").lstrip("0")
        pictures.append(Picture(f"{title} (epoch {epoch})" if epoch.isdecimal() else title, uri, size))
    return pictures, notes


def _held(path: Path) -> tuple[str, tuple[int, int]]:
    """Return a picture as an address that holds it, encoded anew, and its size; small ones are shown twice as large."""
    if not path.is_file():
        raise OSError(f"{path} is no file")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as opened:
            picture = opened.convert("L" if opened.mode in ("1", "L") or _is_gray(opened) else "RGB")
    picture.thumbnail((LONGEST, LONGEST))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    factor = max(1, min(2, LONGEST // max(picture.size)))
    return data_uri(file.getvalue(), "image/png"), (picture.width * factor, picture.height * factor)


def _is_gray(picture: Image.Image) -> bool:
    """Return whether the three channels of a picture are one; gray ones are a third as large."""
    red, green, blue = picture.convert("RGB").split()
    return red.tobytes() == green.tobytes() == blue.tobytes()
