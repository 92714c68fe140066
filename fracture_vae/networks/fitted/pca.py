"""Principal components of healthy images: the best linear reconstruction of so many numbers an image."""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.networks.fitted.grid import Fitted, inside
from fracture_vae.registry import NETWORKS

_CHUNK = 1 << 17  # voxels looked at together: 150 MB of float32 for 279 images


@NETWORKS.add_def("pca", "projects an image on the principal components of those fitted to")
class PCA(Fitted):
    """Mean and principal components (Pearson 1901) of all voxels at once, exact and at full resolution.

    The components come from the eigenvectors of the Gram matrix of the N centred images (Turk and Pentland 1991,
    section 2.2): N x N numbers, however many voxels. It is summed up over chunks of voxels, so that the images are
    never held in float32. Padding counts as the mean.

    Args:
        size: (H, W, D) of the images.
        components: how many, at least 1.

    Raises:
        InputError: for a number of components out of range.
    """

    example: ClassVar[Callable[[], "PCA"]]
    example_shape: ClassVar[tuple[int, ...]] = (2, 1, 8, 8, 8)
    mean: Tensor
    axes: Tensor

    def __init__(self, size: Sequence[int], components: int = 32) -> None:
        if isinstance(components, bool) or not isinstance(components, int) or components < 1:
            raise InputError(f"components {components!r} of a PCA must be a whole number of at least 1")
        super().__init__(size)
        voxels = prod(self.size)
        self.register_buffer("mean", torch.zeros(voxels))
        self.register_buffer("axes", torch.zeros(components, voxels))  # orthonormal rows

    def reconstruct_grid(self, x: Tensor, level: Tensor | None) -> Tensor:
        """Return the projections (B, 1, H, W, D) of x (B, 1, H, W, D)."""
        del level
        with torch.autocast(x.device.type, enabled=False):
            centred = (x.float().flatten(1) - self.mean) * inside(x).flatten(1)
            return ((centred @ self.axes.T) @ self.axes + self.mean).reshape(x.shape)

    @torch.no_grad()
    def fit(self, images: Tensor, levels: Tensor) -> None:
        """Set mean and components.

        Raises:
            InputError: for no more images than components.
        """
        del levels
        count, rank = len(images), len(self.axes)
        if count <= rank:
            raise InputError(f"{rank} principal components need more than {count} images; set components lower")
        within = torch.stack([inside(image[None]).flatten().cpu() for image in images])
        gram = torch.zeros(count, count, dtype=torch.float64)
        for _, centred in self._centred(images, within):
            gram += (centred @ centred.T).double()
        values, vectors = torch.linalg.eigh(gram)  # in rising order
        turn = (vectors[:, -rank:] / values[-rank:].clamp_min(1e-12).sqrt()).flip(1).T.float()
        for chunk, centred in self._centred(images, within):
            self.axes[:, chunk] = turn @ centred

    def _centred(self, images: Tensor, within: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Set the mean and yield the images less it, (N, chunk) float32, for one chunk of voxels after the other."""
        flat = images.flatten(1)
        for start in range(0, flat.shape[1], _CHUNK):
            chunk = slice(start, start + _CHUNK)
            values, there = flat[:, chunk].cpu().float(), within[:, chunk]
            self.mean[chunk] = (values * there).sum(0) / there.sum(0).clamp_min(1)
            yield chunk, (values - self.mean[chunk].cpu()) * there


PCA.example = staticmethod(lambda: PCA((8, 8, 8), 2))
