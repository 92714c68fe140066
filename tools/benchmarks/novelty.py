"""How unlike the images it was trained on an image is to a 2D network: by its residual, by its code, and by both."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE, VQVAE, Autoencoder

COMPONENTS = 20
"""Of the mixture that the codes of training images are described by, at most."""
_DIMENSIONS = 32  # of a code, at most: its principal ones
_BATCH = 500
_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


class Novelties(NamedTuple):
    """Scores of images (N,), each higher for one more unlike those trained on."""

    residual: Tensor
    """The smoothed residual against the images' own size, in (0, 1)."""
    code: Tensor
    """-log of the codes' density in a mixture fitted to those of training images, up to a constant, in nats."""
    both: Tensor
    """Sum of the logarithm of the first and of the second, each in standard deviations of held-out normal images."""


class Novelty:
    """Scores images by what a trained network makes of them.

    A residual misses what the network can also draw, and a code misses what it does not encode, so the two are added,
    each measured in its spread over normal images that were not trained on. Residuals are smoothed before they are
    squared, so that an edge drawn a pixel off does not count like a stroke that is missing, and divided by the size of
    image and reconstruction, so that thick strokes do not count for more than thin ones.

    Args:
        network: an autoencoder, a VAE (its posterior's mean is the code) or a 2D VQ-VAE (its vectors before they are
            quantised), on the CPU, in evaluation mode.
        train: images (N, C, H, W) in [0, 1] it was trained on.
        held_out: normal images it was not trained on.

    Raises:
        InputError: for fewer than two images of either kind.
    """

    def __init__(self, network: Autoencoder | VAE | VQVAE, train: Tensor, held_out: Tensor) -> None:
        from sklearn.mixture import GaussianMixture

        if min(len(train), len(held_out)) < 2:
            raise InputError(f"{len(train)} training and {len(held_out)} held-out images: two of each are the least")
        self.network = network
        codes = _codes(network, train)
        self._centre = codes.mean(0)
        _, spread, axes = torch.linalg.svd(codes - self._centre, full_matrices=False)
        kept = min(_DIMENSIONS, int((spread > 1e-4 * spread[0]).sum()))
        self._whitening = axes[:kept].T / spread[:kept] * len(codes) ** 0.5
        components = min(COMPONENTS, len(codes) // 2)
        self._mixture = GaussianMixture(components, reg_covar=1e-2, random_state=0).fit(self._whitened(codes).numpy())
        residual, code = self._parts(held_out)
        self._normal = [(part.mean(), part.std()) for part in (residual.log(), code)]

    def __call__(self, images: Tensor) -> Novelties:
        """Score images (N, C, H, W) in [0, 1]."""
        residual, code = self._parts(images)
        parts = zip((residual.log(), code), self._normal, strict=True)
        standard = [(part - mean) / spread for part, (mean, spread) in parts]
        return Novelties(residual, code, standard[0] + standard[1])

    def _parts(self, images: Tensor) -> tuple[Tensor, Tensor]:
        codes = self._whitened(_codes(self.network, images))
        density = torch.from_numpy(self._mixture.score_samples(codes.numpy()))
        return relative_residual(images, _reconstructions(self.network, images)), -density

    def _whitened(self, codes: Tensor) -> Tensor:
        return (codes - self._centre) @ self._whitening


def relative_residual(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Return Σ (x - x̂)² / (Σ x² + Σ x̂²), images (N, C, H, W) smoothed by a 5 × 5 binomial filter, as (N,)."""
    smooth = [_smoothed(part).flatten(1) for part in (images - reconstructions, images, reconstructions)]
    difference, image, made = (part.double().square().sum(1) for part in smooth)
    return (difference + 1e-12) / (image + made + 1e-12)


def _smoothed(images: Tensor) -> Tensor:
    line = torch.tensor(_BINOMIAL) / sum(_BINOMIAL)
    kernel = (line[:, None] * line).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(images, kernel, padding=len(line) // 2, groups=images.shape[1])


@torch.no_grad()
def _codes(network: Autoencoder | VAE | VQVAE, images: Tensor) -> Tensor:
    """Return codes (N, d)."""
    found = (network.encode(part) for part in images.split(_BATCH))
    return torch.cat([(part if isinstance(part, Tensor) else part.mean).flatten(1) for part in found])


@torch.no_grad()
def _reconstructions(network: Autoencoder | VAE | VQVAE, images: Tensor) -> Tensor:
    return torch.cat([network(part) for part in images.split(_BATCH)])
