"""Residual scores: from an image and its reconstruction to a map, and from a map to one number a case."""

from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.registry import SCORES

TOP_FRACTION = 0.005
"""Share of the valid voxels whose mean is the case score, fixed before anything is measured."""


@SCORES.add_def("l1", "absolute difference |x - x̂|, in units of the normalised intensity")
def l1(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean over channels of |x - x̂|: (B, C, *spatial) twice to (B, 1, *spatial)."""
    return (image - reconstruction).abs().mean(1, keepdim=True)


@SCORES.add_def("l2", "squared difference (x - x̂)², in squared units of the normalised intensity")
def l2(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean over channels of (x - x̂)²: (B, C, *spatial) twice to (B, 1, *spatial)."""
    return (image - reconstruction).square().mean(1, keepdim=True)


def case_score(map_: Tensor, valid: Tensor, fraction: float = TOP_FRACTION) -> float:
    """Return the mean of the largest ``fraction`` of a map's valid voxels (at least one).

    Args:
        map_: any shape, higher is more abnormal.
        valid: of the same shape, true where the map means anything.
        fraction: in (0, 1].

    Raises:
        InputError: when ``fraction`` is out of range or no voxel is valid.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"top_fraction {fraction} must lie in (0, 1]")
    values = map_[valid.bool()]
    if not len(values):
        raise InputError("no voxel of the image lies inside its source's field of view")
    count = max(1, round(fraction * len(values)))
    return values.topk(count).values.mean().item()
