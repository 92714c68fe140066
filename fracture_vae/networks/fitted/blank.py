"""The reconstruction of nothing: what is left of an image is the image."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from fracture_vae.networks.fitted.grid import Fitted
from fracture_vae.registry import NETWORKS


@NETWORKS.add_def("blank", "reconstructs zeros whatever it sees; for scores of the image alone")
class Blank(Fitted):
    """Zeros."""

    example: ClassVar[Callable[[], "Blank"]]
    example_shape: ClassVar[tuple[int, ...]] = (2, 1, 8, 8, 8)

    def reconstruct_grid(self, x: Tensor, level: Tensor | None) -> Tensor:
        """Return zeros of x's shape."""
        del level
        return torch.zeros_like(x, dtype=torch.float32)

    def fit(self, images: Tensor, levels: Tensor) -> None:
        """Nothing to learn."""


Blank.example = staticmethod(lambda: Blank((8, 8, 8)))
