"""How badly a decoder's answer explains a sample: -log p(x|z) in nats, a number a sample."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from fracture_vae.errors import InputError, nearest


def bernoulli(decoded: Tensor, x: Tensor) -> Tensor:
    """Bernoulli on probabilities: sigmoid first, then binary cross-entropy with logarithms clamped at -100."""
    with torch.autocast(x.device.type, enabled=False):
        return _per_sample(F.binary_cross_entropy(decoded.float().sigmoid(), x.float(), reduction="none"))


def bernoulli_logits(decoded: Tensor, x: Tensor) -> Tensor:
    """Bernoulli on logits: the same, without a clamp, stable for any logit."""
    return _per_sample(F.binary_cross_entropy_with_logits(decoded.float(), x.float(), reduction="none"))


def gaussian(decoded: Tensor, x: Tensor) -> Tensor:
    """Gaussian of unit variance around the sigmoid: ½ Σ (x - x̂)², without the constant ½ D ln 2π."""
    return _per_sample(0.5 * (decoded.float().sigmoid() - x.float()).square())


def gaussian_identity(decoded: Tensor, x: Tensor) -> Tensor:
    """Gaussian of unit variance around the decoder's answer itself, for samples that are not in [0, 1]."""
    return _per_sample(0.5 * (decoded.float() - x.float()).square())


LIKELIHOODS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bernoulli": bernoulli,
    "bernoulli_logits": bernoulli_logits,
    "gaussian": gaussian,
}
"""By name; ``gaussian`` follows the network's output function, see `likelihood`."""


def likelihood(name: str, output: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return -log p(x|decoded) for a network with this ``output`` function: (B, *shape) twice to (B,).

    Raises:
        InputError: for an unknown name, or Bernoulli for a network whose output is no probability.
    """
    if name not in LIKELIHOODS:
        raise InputError(f"likelihood '{name}' is not one of {', '.join(LIKELIHOODS)}{nearest(name, LIKELIHOODS)}")
    if name == "gaussian":
        return gaussian if output == "sigmoid" else gaussian_identity
    if output != "sigmoid":
        raise InputError(
            f"likelihood '{name}' is for samples in [0, 1]; set output to sigmoid, or likelihood to gaussian"
        )
    return LIKELIHOODS[name]


def _per_sample(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)
