"""First codebooks made from encoder vectors."""

import warnings

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor


def sample(vectors: Tensor, count: int) -> Tensor:
    """Draw ``count`` of the ``vectors`` (N, D), each far from those drawn before -> (count, D).

    The k-means++ rule (Arthur and Vassilvitskii 2007): the next vector is drawn with probability proportional to
    its squared distance from the nearest one drawn. Where there are fewer distinct vectors than ``count``, the
    rest are drawn with replacement and moved by 1 % of the vectors' standard deviation, so that no two are equal.
    """
    first = vectors[torch.randint(len(vectors), (1,), device=vectors.device)]
    chosen = [first]
    nearest = (vectors - first).square().sum(1)
    scale = nearest.max().clamp_min(1e-12)
    while len(chosen) < count and nearest.max() > 1e-10 * scale:
        pick = vectors[torch.multinomial(nearest, 1)]
        chosen.append(pick)
        nearest = torch.minimum(nearest, (vectors - pick).square().sum(1))
    missing = count - len(chosen)
    if missing:
        again = vectors[torch.randint(len(vectors), (missing,), device=vectors.device)]
        spread = vectors.std().nan_to_num(0).clamp_min(1e-3)
        chosen.append(again + 0.01 * spread * torch.randn_like(again))
    return torch.cat(chosen)


def kmeans(vectors: Tensor, count: int) -> Tensor:
    """``sample``, then ten rounds of Lloyd's algorithm (scipy) -> (count, D); empty clusters do not move."""
    start = sample(vectors, count)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centres, _ = kmeans2(
            vectors.cpu().numpy().astype(np.float64),
            start.cpu().numpy().astype(np.float64),
            iter=10,
            minit="matrix",
        )
    return torch.as_tensor(centres, dtype=vectors.dtype, device=vectors.device)


INITIALISATIONS = {"kmeans": kmeans, "sample": sample}
