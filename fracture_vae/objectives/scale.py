"""What an objective minimises against what it reports: per image always, whatever the reduction."""

from math import prod

from fracture_vae.errors import InputError, nearest

REDUCTIONS = ("sum", "mean")


def require_reduction(reduction: str) -> None:
    """Require one of ``REDUCTIONS``.

    Raises:
        InputError: for another.
    """
    if reduction not in REDUCTIONS:
        known = ", ".join(REDUCTIONS)
        raise InputError(f"reduction '{reduction}' is not one of {known}{nearest(reduction, REDUCTIONS)}")


def recon_weight(reduction: str, shape: tuple[int, ...]) -> float:
    """Return the factor of the reconstruction term (nats an image) in the total.

    ``sum`` minimises the ELBO itself; ``mean`` divides the reconstruction by the number of values D in a sample, as
    losses averaged over pixels do. The other terms keep their scale: a KL weight β counts as β · D. So does what is
    set in nats, such as free bits and a capacity, which are compared with the KL divergence before any weight.

    Raises:
        InputError: for another reduction.
    """
    require_reduction(reduction)
    return 1.0 if reduction == "sum" else 1.0 / prod(shape)
