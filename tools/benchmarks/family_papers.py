"""Figures of papers that the family's table sets its own beside, and the networks they are of."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Paper(NamedTuple):
    """A model of a paper: how this package is told to train it, and what the paper reached."""

    variant: str | None
    """Of ``mnist_vae``."""
    settings: Mapping[str, Any]
    """What the bundle's own are changed to."""
    nll: float | None
    """Nats an image, as pythae's table of reproductions cites it."""
    reproduced: str
    """What pythae itself came to."""
    source: str
    """Of the figure."""


PAPERS: Mapping[str, Paper] = {
    "VAE": Paper(None, {"latent": 40, "hidden": [300, 300]}, 89.9, "89.78 (k = 200)", "arXiv:1505.05770"),
    "IWAE, k = 50": Paper(
        "iwae", {"latent": 50, "hidden": [200, 200], "samples": 50}, 87.1, "86.82 (k = 5000)", "arXiv:1509.00519"
    ),
    "VampPrior, 500 components": Paper(
        "vamp", {"latent": 40, "hidden": [300, 300]}, 85.57, "85.79 (k = 5000)", "arXiv:1705.07120"
    ),
    "convolutional VAE": Paper("conv", {"latent": 40}, None, "", ""),
}
"""By the name in the table."""
