"""A FID-like distance for digits: Fréchet's, of the features of a small classifier trained here on the same images.

Heusel et al. 2017 (arXiv:1706.08500, eq. 6) take Inception's features of photographs, which digits are not, and which
would have to be downloaded.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fracture_vae.networks import VAE
from fracture_vae.training.study import Study

FEATURES = 64
_BATCH, _EPOCHS, _IMAGES = 128, 3, 20_000


class FeatureNet(NamedTuple):
    """A classifier of digits, and how well it knows them."""

    network: nn.Sequential
    """To the features, (N, 1, 28, 28) to (N, 64); the classes are a linear function of them."""
    accuracy: float
    """On the test part."""


def train_features(study: Study, images: int = _IMAGES) -> FeatureNet:
    """Train the classifier on the first training images, by a fixed seed: two convolutions, 64 features, 10 classes."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.LazyLinear(FEATURES), nn.ReLU(),
    )  # fmt: skip
    head = nn.Linear(FEATURES, int(study.train.labels.max()) + 1)
    pixels, labels = _pixels(study.train.images[:images]), torch.from_numpy(study.train.labels[:images].astype(int))
    network(pixels[:1])
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], 1e-3)
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(len(pixels)).split(_BATCH):
            optimizer.zero_grad()
            F.cross_entropy(head(network(pixels[chosen])), labels[chosen]).backward()
            optimizer.step()
    with torch.no_grad():
        said = head(_features(network, _pixels(study.test.images))).argmax(1).numpy()
    return FeatureNet(network, float((said == study.test.labels).mean()))


def sample_distance(model: VAE, study: Study, net: FeatureNet) -> float:
    """Return the distance between as many decoded draws from the prior as there are test images, and those.

    What is decoded is the mean, so the test images are taken in grey.
    """
    torch.manual_seed(0)
    count = len(study.test.images)
    with torch.no_grad():
        made = torch.cat([model.to_sample(model.decode(z)) for z in model.prior.sample(count).split(1000)])
    return frechet(_features(net.network, made), _features(net.network, _pixels(study.test.images)))


def floor(study: Study, net: FeatureNet) -> float:
    """Return the distance between test images and as many training images: what a perfect model comes to."""
    train = _pixels(study.train.images[: len(study.test.images)])
    return frechet(_features(net.network, train), _features(net.network, _pixels(study.test.images)))


def frechet(a: Tensor, b: Tensor) -> float:
    """Return |μ_a - μ_b|² + tr(C_a + C_b - 2 (C_a C_b)^½) of features (n, d) and (m, d)."""
    (mean_a, cov_a), (mean_b, cov_b) = (_moments(x.double().numpy()) for x in (a, b))
    root = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real.clip(0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return x.mean(0), np.cov(x, rowvar=False)


def _pixels(images: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).float() / 255


@torch.no_grad()
def _features(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(part) for part in images.split(1000)])
