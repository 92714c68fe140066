"""What fitted networks share: one grid for all images, of which padding is no part."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fracture_vae.transforms.padding import centred


class Fitted(nn.Module):
    """A network of buffers that healthy images set.

    ``size`` (H, W, D) is the grid of the images it is fitted to. Images of another size are centred in it, as fitting
    did; what lies beyond is reconstructed as the mean of the rest.
    """

    downsampling = 1

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size = tuple(size)

    @abstractmethod
    def fit(self, images: Tensor, levels: Tensor) -> None:
        """Set the buffers.

        Args:
            images: (N, 1, H, W, D) in [0, 1], of any floating type.
            levels: (N,) int64, as ``cohort.levels.level_index`` counts.
        """

    @abstractmethod
    def reconstruct_grid(self, x: Tensor, level: Tensor | None) -> Tensor:
        """Return reconstructions (B, 1, H, W, D) float32 of images of the grid, which may be of known levels (B,)."""

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Return the reconstruction (B, 1, \\*spatial) float32 of x (B, 1, \\*spatial), of any size."""
        if tuple(x.shape[2:]) == self.size:
            return self.reconstruct_grid(x, level)
        common = [min(sizes) for sizes in zip(x.shape[2:], self.size, strict=True)]
        own: tuple[Any, ...] = (..., *centred(common, x.shape[2:]))
        there: tuple[Any, ...] = (..., *centred(common, self.size))
        grid = x.new_zeros(*x.shape[:2], *self.size)
        grid[there] = x[own]
        made = self.reconstruct_grid(grid, level)[there]
        out = made.mean([2, 3, 4], keepdim=True).repeat(1, 1, *x.shape[2:])
        out[own] = made
        return out


def inside(x: Tensor) -> Tensor:
    """Return where images (B, 1, \\*spatial) are and not the zeros they are centred in, bool.

    That is the smallest box that holds all that is above 0: a plane of nothing at an image's end says nothing either.
    """
    found = x > 0
    axes = range(2, x.dim())
    box = found.new_ones(())
    for axis in axes:
        others = [other for other in axes if other != axis]
        line = found.amax(others, keepdim=True)
        # between the first and the last plane that holds anything
        box = box & (line.cummax(axis).values & line.flip(axis).cummax(axis).values.flip(axis))
    return box
