"""The mean healthy image, of each vertebral level by itself where there are levels."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fracture_vae.networks.fitted.grid import Fitted, inside
from fracture_vae.registry import NETWORKS


@NETWORKS.add_def("template", "reconstructs the mean of the images fitted to, of the image's level where it is known")
class Template(Fitted):
    """The mean of the training images, and of those of each level; an image of another level gets the mean of all.

    Args:
        size: (H, W, D) of the images.
        levels: numbers of the levels that have a mean of their own (``cohort.levels.level_index``).
    """

    example: ClassVar[Callable[[], "Template"]]
    example_shape: ClassVar[tuple[int, ...]] = (2, 1, 8, 8, 8)
    takes_level = True
    means: Tensor
    numbers: Tensor

    def __init__(self, size: Sequence[int], levels: Sequence[int] = ()) -> None:
        super().__init__(size)
        self.register_buffer("numbers", torch.tensor([0, *levels]))
        self.register_buffer("means", torch.zeros(1 + len(levels), *self.size))

    def reconstruct_grid(self, x: Tensor, level: Tensor | None) -> Tensor:
        """Return the means (B, 1, H, W, D) of the levels (B,) of x (B, 1, H, W, D)."""
        given = torch.zeros(len(x), dtype=torch.int64, device=x.device) if level is None else level
        places = (given[:, None] == self.numbers).long().argmax(1)  # the first, of all, where no number is the level's
        return self.means[places][:, None]

    @torch.no_grad()
    def fit(self, images: Tensor, levels: Tensor) -> None:
        """Set the means, each voxel's over the images that reach there; where none does, that of all their voxels."""
        for place, number in enumerate(self.numbers.tolist()):
            total, count = (torch.zeros(self.size, dtype=torch.float64) for _ in range(2))
            for image in images[levels == number] if number else images:
                within = inside(image[None])[0, 0]
                total += image[0].float().cpu() * within.cpu()
                count += within.cpu()
            overall = total.sum() / count.sum().clamp_min(1)
            self.means[place].copy_(torch.where(count > 0, total / count.clamp_min(1), overall))


Template.example = staticmethod(lambda: Template((8, 8, 8), (20,)))
