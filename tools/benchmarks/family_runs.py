"""One run of a 2D bundle: trained by its own config, and measured on the test part of its data set."""

import csv
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.jobs import train_bundle, variant_config
from fracture_vae.maps.scores import l1, l2
from fracture_vae.networks import VAE, build_network, load_state
from fracture_vae.networks.gaussian import Gaussian
from fracture_vae.networks.latent_use import latent_use
from fracture_vae.objectives import negative_log_likelihood
from fracture_vae.objectives.likelihoods import likelihood
from fracture_vae.training.about import read_about
from fracture_vae.training.checkpoints import best_checkpoint, load
from tools.benchmarks.novelty import Novelties

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
_BATCH = 250


class Trained(NamedTuple):
    """A network in evaluation mode, and what its run folder says of its making."""

    network: nn.Module
    epochs: int
    seconds_an_epoch: float


def train(bundle: str, variant: str | None, settings: Mapping[str, Any]) -> Trained:
    """Train a variant of a bundle in a folder that is removed again, and return the network that was kept."""
    overlays = [variant_config(BUNDLES / bundle, variant)] if variant else []
    with tempfile.TemporaryDirectory() as project:
        own = {"project_dir": project, "save_weights": True, "progress": False, "keep_best": 1}
        train_bundle(BUNDLES / bundle, None, overlays, {**settings, **own})
        run = (Path(project) / bundle / "latest").resolve()
        checkpoint = best_checkpoint(run)
        content = load(checkpoint)
        with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    about = read_about(content, str(checkpoint))
    network = build_network(**dict(about.network or {}))
    load_state(network, content["network"], str(checkpoint))
    return Trained(network.eval(), len(seconds), round(median(seconds), 2))


def figures(network: nn.Module, images: Tensor, name: str, samples: int, bounded: int) -> dict[str, float]:
    """Return the figures of a row, means over test images (N, C, H, W), in nats an image where ``name`` is Bernoulli.

    Args:
        network: of one of the bundles.
        images: in [0, 1].
        name: the likelihood that ``recon`` is measured with, whatever the network was trained with.
        samples: k of the importance-weighted bound.
        bounded: how many of the images that bound is taken of.
    """
    squared = torch.cat([l2(x, y).flatten(1).mean(1) for x, y in _reconstructed(network, images)]).mean()
    found = {"squared_error": float(squared)}
    if not isinstance(network, VAE):
        return found
    torch.manual_seed(0)
    distance = likelihood(name, network.output)
    recon, kl, means, log_variances = [], [], [], []
    with torch.no_grad():
        for x in images.split(_BATCH):
            q = network.encode(x)
            z = q.sample()
            recon.append(distance(network.decode(z), x))
            kl.append(network.kl(q, z).sum(-1))
            means.append(q.mean)
            log_variances.append(q.log_variance)
    chosen = images[:bounded].split(_BATCH)
    nll = torch.cat([negative_log_likelihood(network, x, name, samples) for x in chosen]).mean()
    found["recon"], found["kl"] = (float(torch.cat(values).mean()) for values in (recon, kl))
    found["elbo"] = -found["recon"] - found["kl"]
    found["nll"] = float(nll)
    found["active_units"] = latent_use(Gaussian(torch.cat(means), torch.cat(log_variances))).active_units
    return found


def anomaly_scores(network: nn.Module, images: Tensor, novelty: Callable[[Tensor], Novelties]) -> dict[str, Tensor]:
    """Return by score a number an image (N,): the mean of a map over the whole image, and what ``novelty`` says."""
    pairs = list(_reconstructed(network, images))
    means = {score.__name__: torch.cat([score(x, y).flatten(1).mean(1) for x, y in pairs]) for score in (l1, l2)}
    return {**means, **novelty(images)._asdict()}


@torch.no_grad()
def _reconstructed(network: nn.Module, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for x in images.split(_BATCH):
        yield x, network(x)
