"""The way from one image to another through the latent space: as a strip, and as an animation."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.files import replacing
from fracture_vae.networks.interpolation import lerp, slerp
from fracture_vae.report.latent.figures import Grid, Heading, head
from fracture_vae.report.latent.model import LatentModel
from fracture_vae.report.latent.points import Points
from fracture_vae.training.pictures import tiled

WAYS = {"linear": lerp, "spherical": slerp}
STEPS = 11
"""Images of a strip, both ends among them."""
FRAMES = 25
"""Frames of an animation from one end to the other."""
_FRAME_TIME = 80  # milliseconds
_REST = 6  # frame times that either end is shown


class Ends(NamedTuple):
    """Two images of the test part: indices, classes, the images (2, C, H, W) and their places (2, d)."""

    indices: tuple[int, int]
    labels: tuple[int, int]
    images: Tensor
    z: Tensor

    @property
    def names(self) -> tuple[str, str]:
        """For a figure."""
        first, last = (f"image {i} (class {label})" for i, label in zip(self.indices, self.labels, strict=True))
        return first, last


def choose_ends(model: LatentModel, points: Points, start: int | None, end: int | None) -> Ends:
    """Return the images between which to go: those named, else shown ones of different classes.

    Raises:
        InputError: for an index that the test part does not have.
    """
    count = len(model.images)
    for option, index in (("--from", start), ("--to", end)):
        if index is not None and not 0 <= index < count:
            there = f"the test part of {model.data} has images 0 to {count - 1}"
            raise InputError(f"{option} {index}: {there}; give one of these")
    if start is None:
        start = _other_class(model, points, end) if end is not None else int(points.indices[0])
    if end is None:
        end = _other_class(model, points, start)
    batch = model.images.batch([start, end])
    first, last = batch["label"].tolist()
    return Ends((start, end), (first, last), batch["image"], model.encode(batch["image"]))


def _other_class(model: LatentModel, points: Points, index: int) -> int:
    """Return the first shown image of another class than image ``index``, or the last one where there is none."""
    others = points.indices[points.labels != model.images.labels[index]]
    return int(others[0] if len(others) else points.indices[-1])


def strip(model: LatentModel, ends: Ends) -> Grid:
    """Return both ways in ``STEPS`` images each, between the two images themselves."""
    shares = torch.linspace(0, 1, STEPS)
    rows = [
        torch.cat([ends.images[:1], model.decode(way(ends.z[0], ends.z[1], shares)), ends.images[1:]])
        for way in WAYS.values()
    ]
    first, last = (f"image {index}" for index in ends.indices)
    labels = [first, *(f"{share:.1f}" for share in shares.tolist()), last]
    across = f"t, share of the way from {ends.names[0]} to {ends.names[1]}"
    return Grid(torch.cat(rows), labels, list(WAYS), across, "way")


def animate(model: LatentModel, ends: Ends, path: Path, heading: Heading) -> None:
    """Write an animated GIF: both ways there and back, between the two images themselves."""
    shares = torch.linspace(0, 1, FRAMES)
    made = [model.decode(way(ends.z[0], ends.z[1], shares)) for way in WAYS.values()]
    figure = Figure(figsize=(8.2, 3.0), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    titles = (ends.names[0], *WAYS, ends.names[1])
    shown = (ends.images[:1], *(images[:1] for images in made), ends.images[1:])
    drawn = []
    for axes, title, images in zip(figure.subplots(1, 4), titles, shown, strict=True):
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        drawn.append(axes.imshow(tiled(images, 1), cmap="gray", vmin=0, vmax=255))
    frames = []
    for number, share in enumerate(shares.tolist()):
        for picture, images in zip(drawn[1:3], made, strict=True):
            picture.set_data(tiled(images[number : number + 1], 1))
        head(figure, heading._replace(note=f"t = {share:.2f} of the way;  {heading.note}"))
        canvas.draw()
        figure.set_layout_engine("none")  # as the first frame lies, so do the others
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).quantize(64))
    there_and_back = [*frames, *frames[-2:0:-1]]
    times = [_FRAME_TIME * (_REST if number in (0, FRAMES - 1) else 1) for number in range(len(there_and_back))]
    with replacing(path) as temporary:
        there_and_back[0].save(
            temporary, "GIF", save_all=True, append_images=there_and_back[1:], duration=times, loop=0
        )
