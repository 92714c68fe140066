"""What an objective minimises against what it reports: per image always, whatever the reduction."""

from math import prod

from fracture_vae.errors import InputError

REDUCTIONS = ("sum", "mean")


def recon_weight(reduction: str, shape: tuple[int, ...]) -> float:
    """Return the factor of the reconstruction term (nats an image) in the total.

    ``sum`` minimises the ELBO itself; ``mean`` divides the reconstruction by the number of values in a sample, as
    losses averaged over pixels do, which makes a KL weight β count as β · D.

    Raises:
        InputError: for another reduction.
    """
    if reduction not in REDUCTIONS:
        raise InputError(f"reduction '{reduction}' is not one of {', '.join(REDUCTIONS)}")
    return 1.0 if reduction == "sum" else 1.0 / prod(shape)
