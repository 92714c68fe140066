"""Which latent vectors the pictures decode: steps along dimensions, the plane of two, draws."""

import torch
from torch import Tensor

from fracture_vae.report.latent.model import LatentModel
from fracture_vae.report.latent.points import Points
from fracture_vae.training.pictures import normal_steps


def steps_along(model: LatentModel, points: Points, dimension: int, count: int) -> Tensor:
    """Return (count,) values of a dimension, as many images or draws between each two.

    Quantiles of N(0, 1) where that is the prior, else of the places of the images.
    """
    steps = normal_steps(count)
    if model.standard:
        return steps
    return torch.quantile(points.z[:, dimension], torch.special.ndtr(steps))


def traversals(model: LatentModel, points: Points, dimensions: Tensor, start: Tensor, count: int) -> Tensor:
    """Return (len(dimensions) · count, d): ``start`` (d,) with one dimension after another led through its steps."""
    rows = []
    for dimension in dimensions.tolist():
        row = start.repeat(count, 1)
        row[:, dimension] = steps_along(model, points, dimension, count)
        rows.append(row)
    return torch.cat(rows)


def draws(model: LatentModel, points: Points, count: int, seed: int) -> Tensor:
    """Return (count, d) draws from a VAE's prior, or for an autoencoder from the Gaussian of its codes' mean and
    covariance (Ghosh et al. 2020, "From Variational to Deterministic Autoencoders", arXiv:1903.12436, section 4)."""
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        if model.prior is not None:
            return model.prior.sample(count)
        centred = points.z.double() - points.z.double().mean(0)
        _, widths, axes = torch.linalg.svd(centred / len(centred) ** 0.5, full_matrices=False)
        noise = torch.randn(count, len(widths), dtype=torch.float64)
        return (points.z.double().mean(0) + noise * widths @ axes).float()
