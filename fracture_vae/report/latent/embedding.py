"""Many dimensions on a plane: t-SNE and UMAP."""

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fracture_vae.errors import InputError

FEWEST = 5
"""Points below which neither method has neighbours to look at."""
_NEIGHBOURS = 15
_COMPONENTS = 50
"""Of more dimensions both methods see the first principal components: distances hardly change, and it takes seconds."""


def tsne(z: Tensor, seed: int) -> Tensor:
    """Return t-SNE's places (N, 2) of z (N, d) (van der Maaten & Hinton 2008).

    The perplexity is 30, or what so few points allow; it starts from the first two principal components.
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(z) - 1) / 3)
    return _fitted(TSNE(init="pca", perplexity=perplexity, random_state=seed), z)


def umap(z: Tensor, seed: int) -> Tensor:
    """Return UMAP's places (N, 2) of z (N, d), of 15 neighbours (McInnes et al. 2018, arXiv:1802.03426).

    Raises:
        InputError: when umap-learn is not installed.
    """
    if find_spec("umap") is None:
        raise InputError("umap-learn is not installed (pip install fracture-vae[latent])")
    from umap import UMAP

    method = UMAP(n_neighbors=min(_NEIGHBOURS, len(z) - 1), random_state=seed, n_jobs=1, init="pca")
    return _fitted(method, z)


def told_dimensions(z: Tensor) -> str:
    """Return in words which dimensions of z (N, d) both methods look at."""
    kept = _kept(z)
    return (
        f"{z.shape[1]} dimensions" if kept == z.shape[1] else f"{kept} principal components of {z.shape[1]} dimensions"
    )


def _kept(z: Tensor) -> int:
    return min(z.shape[1], _COMPONENTS, len(z) - 1)


def _fitted(method: Any, z: Tensor) -> Tensor:
    values = z.double().numpy()
    if _kept(z) < z.shape[1]:
        from sklearn.decomposition import PCA

        values = PCA(_kept(z), svd_solver="full").fit_transform(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is no choice of the reader's, such as points that coincide
        places = method.fit_transform(values)
    return torch.from_numpy(np.asarray(places, np.float64))
