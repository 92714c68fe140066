"""Where images lie in a latent space, and the table of it."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.files import write_text
from fracture_vae.report.latent.model import LatentModel

SHOWN = 2000
"""Images whose place is shown, at most."""


@dataclass(frozen=True)
class Points:
    """The places of images, in the order of their indices.

    Attributes:
        indices: (N,), which samples of the test part.
        labels: (N,), their classes.
        z: (N, d), see `LatentModel.encode`.
        codes: (N, h · w), of a VQ-VAE.
        maps: name, such as ``tsne``, to the places (N, 2) it gives.
    """

    indices: Tensor
    labels: Tensor
    z: Tensor
    codes: Tensor | None = None
    maps: dict[str, Tensor] = field(default_factory=dict)

    @property
    def varying(self) -> Tensor:
        """Dimensions (d,) from the one whose place varies most over the images to the one that varies least."""
        return self.z.var(0, unbiased=False).argsort(descending=True, stable=True)


def find_points(model: LatentModel, seed: int) -> Points:
    """Return the places of ``SHOWN`` test images, drawn by ``seed``, or of all where there are no more.

    Raises:
        InputError: when the network gives values that are no numbers.
    """
    drawn = torch.randperm(len(model.images), generator=torch.Generator().manual_seed(seed))[:SHOWN]
    indices = drawn.sort().values
    batch = model.images.batch(indices.tolist())
    z = model.encode(batch["image"])
    if not z.isfinite().all():
        raise InputError(f"{model.checkpoint}: its encoder gives values that are no numbers; train it again")
    return Points(indices, batch["label"], z, model.codes(z) if model.quantized else None)


def write_points(points: Points, path: Path) -> None:
    """Write a row an image: ``id`` (its number in the test part, from 0), ``class`` and coordinates.

    Coordinates are ``z_1`` and so on, or ``code_1`` and so on of a VQ-VAE, row by row of its grid, then two of each
    map (``tsne_1``, ``tsne_2``).
    """
    shown = {"z": points.z} if points.codes is None else {"code": points.codes}
    blocks = shown | points.maps
    columns = [f"{name}_{number}" for name, block in blocks.items() for number in range(1, block.shape[1] + 1)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "class", *columns])
    values = [block.tolist() for block in blocks.values()]
    for index, label, *rows in zip(points.indices.tolist(), points.labels.tolist(), *values, strict=True):
        writer.writerow([index, label, *(_told(value) for row in rows for value in row)])
    write_text(path, text.getvalue())


def _told(value: float) -> str:
    return f"{value:.6g}"
