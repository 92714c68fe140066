"""Patches of another image, blended in without a seam."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fracture_vae.registry import CORRUPTIONS
from fracture_vae.transforms.corruption.base import Corrupted
from fracture_vae.transforms.corruption.blobs import smooth_step
from fracture_vae.transforms.corruption.foreign import Patch, PatchParams
from fracture_vae.transforms.corruption.local import changed_in, inside
from fracture_vae.transforms.corruption.spline import spread


@CORRUPTIONS.add_def("poisson_patch", "a blob with another image's structure, blended seamlessly (Tan et al. 2021)")
@dataclass(frozen=True)
class PoissonPatch(Patch):
    """Gives a blob of this image the gradients of another one, so that brightness joins without a seam.

    Tan et al. 2021, "Detecting Outliers with Poisson Image Interpolation" (arXiv:2107.02622), and Schlüter et al. 2022,
    "Natural Synthetic Anomalies" (arXiv:2109.15222). With the soft weight m of the blob, image t and patch s, the
    change u solves Δu = div(m ∇(s - t)) with u = 0 around the box, exactly, by sine transforms; it fades out towards
    the blob's outline.
    """

    def apply(self, images: Tensor, params: PatchParams) -> Corrupted:
        """Solve for the change and add it inside the blob."""
        place = inside(images, params.blobs, tuple(params.patch.shape[2:]))
        share = params.share.to(images.device, non_blocking=True).reshape(-1, *[1] * (images.dim() - 1))
        difference = params.patch.to(images.device, non_blocking=True) - place.region
        change = solve(divergence(share * place.weight, difference))
        return changed_in(images, place, place.region + smooth_step(4 * place.weight) * change)


def divergence(weight: Tensor, values: Tensor) -> Tensor:
    r"""Return div(weight ∇values) of (B, C, \*box) ``values``, by differences between voxels; no flux at the border."""
    out = torch.zeros_like(values)
    for axis in range(2, values.dim()):
        count = values.shape[axis] - 1
        between = (weight.narrow(axis, 0, count) + weight.narrow(axis, 1, count)) / 2
        flux = between * values.diff(dim=axis)
        out.narrow(axis, 0, count).add_(flux)
        out.narrow(axis, 1, count).sub_(flux)
    return out


def solve(source: Tensor) -> Tensor:
    r"""Return u (B, C, \*box) with Δu = ``source`` and u = 0 one voxel outside the box.

    The second difference is diagonal in the sine transform of each axis, with eigenvalues 2 cos(πk / (n + 1)) - 2
    (Press et al., Numerical Recipes, sec. 20.4).
    """
    dims = source.dim() - 2
    waves = [_sine_transform(size, source).expand(len(source), -1, -1) for size in source.shape[2:]]
    eigenvalues = torch.zeros(source.shape[2:], device=source.device, dtype=source.dtype)
    for axis, size in enumerate(source.shape[2:]):
        number = torch.arange(1, size + 1, device=source.device, dtype=source.dtype)
        line = 2 * torch.cos(math.pi * number / (size + 1)) - 2
        eigenvalues = eigenvalues + line.reshape([size if other == axis else 1 for other in range(dims)])
    return spread(spread(source, waves) / eigenvalues, waves)


def _sine_transform(size: int, like: Tensor) -> Tensor:
    """Return the (size, size) orthonormal sine transform, which is its own inverse."""
    number = torch.arange(1, size + 1, device=like.device, dtype=like.dtype)
    return torch.sin(math.pi * number[:, None] * number / (size + 1)) * math.sqrt(2 / (size + 1))
