"""The small steps of a training run that a bundle's config names."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from math import prod
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fracture_vae.alone import let_go
from fracture_vae.cohort.manifest import Cohort, pseudonym
from fracture_vae.errors import InputError, nearest
from fracture_vae.files import read_json, sha256, write_text
from fracture_vae.networks import load_state
from fracture_vae.objectives import Discriminative
from fracture_vae.training.about import About, read_about
from fracture_vae.training.acceleration import Acceleration
from fracture_vae.training.checkpoints import FOLDER, load, weights_of
from fracture_vae.training.data import VolumeDataset
from fracture_vae.training.muon import Muon
from fracture_vae.training.run_folder import META_FILE, now
from fracture_vae.transforms import Preprocessing

logger = logging.getLogger(__name__)

PLACES = ("bundle_root", "project_dir", "group", "run_name", "run_dir", "resume", "cohort", "data_dir")
"""Settings that say where things are and do not shape a model; ``config_sha256`` leaves them out."""


def build_optimizer(
    name: str,
    parameters: Iterable[Tensor],
    learning_rate: float,
    weight_decay: float,
    options: Mapping[str, Any] | None = None,
) -> Optimizer:
    """Return the ``torch.optim`` optimizer called ``name``; Muon is this package's, which takes kernels too.

    Args:
        options: further arguments of the optimizer, such as ``{"momentum": 0.9}``; what is not named is its default.

    Raises:
        InputError: when torch has none of that name, or it does not take these values.
    """
    classes = {n: c for n, c in vars(torch.optim).items() if isinstance(c, type) and issubclass(c, Optimizer)}
    known = {n: c for n, c in classes.items() if c is not Optimizer} | {"Muon": Muon}
    if name not in known:
        raise InputError(f"optimizer '{name}' is not in torch.optim{nearest(name, known)}")
    kind: Any = known[name]
    try:
        fused = {"fused": True} if "fused" in signature(kind).parameters else {}  # one pass over the weights, not ten
        made: Optimizer = kind(parameters, lr=learning_rate, weight_decay=weight_decay, **fused, **(options or {}))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"optimizer '{name}' with learning_rate {learning_rate}, weight_decay {weight_decay} and optimizer_options "
            f"{dict(options or {})}: {error}; choose an optimizer that takes them, or other values"
        ) from error
    return made


def require_counts(**counts: int) -> None:
    """Require every named setting to be a whole number of at least 1.

    Raises:
        InputError: for the first that is not.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(f"{name} is {count!r}; it must be a whole number of at least 1")


def require_corruption(objective: nn.Module, corruption: object | None) -> None:
    """Require a corruption for an objective that learns to find one.

    Raises:
        InputError: when there is none.
    """
    if corruption is None and isinstance(objective, Discriminative):
        raise InputError("corruption is null, but the head learns to find what it changed; set one")


def seed(number: int) -> None:
    """Seed PyTorch's generators.

    Raises:
        InputError: when ``number`` is no whole number from 0 to 2³² - 1.
    """
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**32:
        raise InputError(f"seed is {number!r}; it must be a whole number from 0 to 4294967295")
    torch.manual_seed(number)


def named(handler: Any) -> Any:
    """Return ``handler``, so that a list of handlers can hold one the config defines elsewhere.

    MONAI's check of a bundle's properties takes every entry of ``train#handlers`` for a ``_target_``.
    """
    return handler


def voxels_seen(dataset: VolumeDataset, epochs: int) -> float:
    """Return how many voxels a whole training run passes through the network."""
    return float(len(dataset) * prod(dataset.size)) * epochs


def about_model(
    bundle_root: str,
    config: Mapping[str, Any],
    network: nn.Module,
    preprocessing: Preprocessing,
    cohort: Cohort,
    fold: int,
    size: Sequence[int],
    score: Mapping[str, Any] | None = None,
) -> About:
    """Return what a checkpoint of a cohort says of itself; patients are not named, but known by pseudonyms.

    ``score`` is what the maps of the network are made of by default.
    """
    return about_network(
        bundle_root,
        config,
        network,
        preprocessing=preprocessing,
        size=(size[0], size[1], size[2]),
        fold=fold,
        trained_on=tuple(sorted({pseudonym(case.patient_id) for case in cohort.training(fold)})),
        cohort_sha256=sha256(cohort.path),
        score=score,
    )


def about_network(bundle_root: str, config: Mapping[str, Any], network: nn.Module, **known: Any) -> About:
    """Return what a checkpoint says of its bundle, settings and network, and whatever else is ``known`` of it."""
    metadata_file = Path(bundle_root) / "configs" / "metadata.json"
    metadata = read_json(metadata_file) if metadata_file.is_file() else {}
    shaping = {key: value for key, value in config.items() if key not in PLACES}
    return About(
        network=getattr(network, "definition", None),
        bundle=str(metadata.get("name", Path(bundle_root).name)),
        bundle_version=str(metadata.get("version", "")),
        config_sha256=hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest(),
        **known,
    )


def announce(train: VolumeDataset, validate: VolumeDataset, acceleration: Acceleration) -> None:
    """Log what is about to be trained on, and how."""
    size = "×".join(map(str, train.size))
    logger.info("%d training and %d validation volumes of %s", len(train), len(validate), size)
    logger.info("running on %s", acceleration)


def finish(run_dir: str) -> None:
    """Note in ``run_meta.json`` that the run ended, log where it is and how to look at it, and let go of it."""
    if idist.get_rank() > 0:
        return
    path = Path(run_dir) / META_FILE
    meta = {**read_json(path), "finished": now()}
    write_text(path, json.dumps(meta, indent=2) + "\n")
    let_go(run_dir)
    kept = ", checkpoints/" if (Path(run_dir) / FOLDER).is_dir() else ""
    logger.info("run folder: %s (%s, metrics.csv%s)", run_dir, META_FILE, kept)
    logger.info("look at it: tensorboard --logdir %s", run_dir)


def load_checkpoint(network: nn.Module, checkpoint: str | Path, fold: int | None = None) -> None:
    """Load the weights of ``checkpoint`` (this package's, or a plain state dict) into ``network``.

    Args:
        network: takes the weights.
        checkpoint: the file.
        fold: the fold about to be validated on, if any.

    Raises:
        InputError: when the file cannot be loaded safely, holds another architecture, or was trained on ``fold``.
    """
    content = load(checkpoint)
    validated_on = read_about(content, str(checkpoint)).fold
    if fold is not None and validated_on is not None and validated_on != fold:
        raise InputError(f"{checkpoint}: has trained on fold {fold}; validate it on fold {validated_on}")
    load_state(network, weights_of(content, str(checkpoint)), str(checkpoint))


def say_metrics(evaluator: Any) -> None:
    """Log an evaluator's metrics, one a line."""
    for name, value in evaluator.state.metrics.items():
        logger.info("%s: %.5g", name, value)


def size_trained_on(checkpoint: str | Path) -> list[int] | None:
    """Return the size (H, W, D) of the volumes a checkpoint was trained on, or None where it does not say."""
    size = read_about(load(checkpoint), str(checkpoint)).size
    return None if size is None else list(size)
