"""What fitted networks share: one grid for all images, of which padding is no part."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from fracture_vae.errors import InputError


class Fitted(nn.Module):
    """A network of buffers that healthy images set.

    ``size`` (H, W, D) is the grid of the images it is fitted to, and the only one it takes: inference centres smaller
    images in it, as fitting did.
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

    def require_size(self, x: Tensor) -> None:
        """Require images (B, 1, H, W, D) of the grid fitted to.

        Raises:
            InputError: for others.
        """
        if tuple(x.shape[1:]) != (1, *self.size):
            raise InputError(
                f"an image of {tuple(x.shape[1:])} does not fit a {type(self).__name__} of {(1, *self.size)}; fit it "
                "with a larger size"
            )


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
