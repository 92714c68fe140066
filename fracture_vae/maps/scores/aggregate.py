"""From a map to one number a case."""

from torch import Tensor

from fracture_vae.errors import InputError

TOP_FRACTION = 0.005
"""Share of an image's valid voxels whose mean is the case score, fixed before anything is measured."""
_SAMPLED = 16  # of so many values one


def require_fraction(fraction: float) -> None:
    """Require a share in (0, 1].

    Raises:
        InputError: for any other.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"top_fraction {fraction} must lie in (0, 1]")


def case_score(map_: Tensor, valid: Tensor, region: Tensor, fraction: float = TOP_FRACTION) -> float:
    """Return the mean of a map's largest values in ``region``, as many as ``fraction`` of the image's valid voxels.

    The number of voxels follows from the image, not from the region, so that the same amount of tissue decides
    however tightly a region is drawn; a smaller region counts whole.

    Args:
        map_: any shape, higher is more abnormal.
        valid: of the same shape, true where the map means anything.
        region: of the same shape, true where the score is taken from; a part of ``valid``.
        fraction: in (0, 1].

    Raises:
        InputError: when ``fraction`` is out of range or the region is empty.
    """
    require_fraction(fraction)
    values = map_.masked_select(region.bool())
    if not len(values):
        raise InputError("no voxel to score: the image lies outside its source's field of view")
    count = min(len(values), max(1, round(fraction * int(valid.bool().sum()))))
    return _largest(values, count).mean().item()


def _largest(values: Tensor, count: int) -> Tensor:
    """Return the ``count`` largest of ``values`` (N,), in falling order.

    Most values are sorted out first by a bound that a sample of them suggests: ``topk`` over a whole map takes longer
    than reading it. Where the bound is too high for ``count`` values to pass, all are looked at.
    """
    sample = values[::_SAMPLED]
    bound = sample.topk(min(len(sample), 2 * count // _SAMPLED + _SAMPLED)).values[-1]
    passing = values[values >= bound]
    return (passing if len(passing) >= count else values).topk(count).values
