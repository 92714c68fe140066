"""The small steps of a training run that a bundle's config names."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fracture_vae.cohort.manifest import Cohort
from fracture_vae.errors import InputError, nearest
from fracture_vae.files import sha256, write_text
from fracture_vae.networks import load_state
from fracture_vae.training.acceleration import Acceleration
from fracture_vae.training.checkpoints import load
from fracture_vae.training.data import VolumeDataset
from fracture_vae.training.run_folder import META_FILE, now
from fracture_vae.transforms import Preprocessing

logger = logging.getLogger(__name__)

CHECKPOINT_FORMAT = 1


def build_optimizer(name: str, parameters: Iterable[Tensor], learning_rate: float, weight_decay: float) -> Optimizer:
    """Return the ``torch.optim`` optimizer called ``name``.

    Raises:
        InputError: when torch has none of that name.
    """
    known = [n for n, c in vars(torch.optim).items() if isinstance(c, type) and issubclass(c, Optimizer)]
    if name not in known:
        raise InputError(f"optimizer '{name}' is not in torch.optim{nearest(name, known)}")
    made = getattr(torch.optim, name)(parameters, lr=learning_rate, weight_decay=weight_decay)
    if not isinstance(made, Optimizer):
        raise InputError(f"optimizer '{name}' cannot be used; choose Adam or AdamW")
    return made


def voxels_seen(dataset: VolumeDataset, epochs: int) -> float:
    """Return how many voxels a whole training run passes through the network."""
    return float(dataset.images.numel()) * epochs


def about_model(
    bundle_root: str, network: nn.Module, preprocessing: Preprocessing, cohort: Cohort, fold: int
) -> dict[str, Any]:
    """Return what a checkpoint says of itself: enough to rebuild the network and repeat the preprocessing."""
    metadata_file = Path(bundle_root) / "configs" / "metadata.json"
    metadata = json.loads(metadata_file.read_text(encoding="utf-8")) if metadata_file.is_file() else {}
    return {
        "format": CHECKPOINT_FORMAT,
        "bundle": Path(bundle_root).name,
        "bundle_version": metadata.get("version", ""),
        "network": getattr(network, "definition", None),
        "preprocessing": asdict(preprocessing),
        "cohort": str(cohort.path),
        "cohort_sha256": sha256(cohort.path),
        "fold": fold,
    }


def announce(train: VolumeDataset, validate: VolumeDataset, acceleration: Acceleration) -> None:
    """Log what is about to be trained on, and how."""
    size = "×".join(map(str, train.size))
    logger.info("%d training and %d validation volumes of %s", len(train), len(validate), size)
    logger.info("running on %s", acceleration)


def finish(run_dir: str) -> None:
    """Note in ``run_meta.json`` that the run came to its end, and log where it is and how to look at it."""
    if idist.get_rank() > 0:
        return
    path = Path(run_dir) / META_FILE
    meta = {**json.loads(path.read_text(encoding="utf-8")), "finished": now()}
    write_text(path, json.dumps(meta, indent=2) + "\n")
    logger.info("run folder: %s (%s, metrics.csv, checkpoints/)", run_dir, META_FILE)
    logger.info("look at it: tensorboard --logdir %s", run_dir)


def load_checkpoint(network: nn.Module, checkpoint: str | Path) -> None:
    """Load the weights of ``checkpoint`` (this package's, or a plain state dict) into ``network``.

    Raises:
        InputError: when the file cannot be loaded safely or holds another architecture.
    """
    content = load(checkpoint)
    load_state(network, content.get("network", content), str(checkpoint))


def say_metrics(evaluator: Any) -> None:
    """Log an evaluator's metrics, one a line."""
    for name, value in evaluator.state.metrics.items():
        logger.info("%s: %.5g", name, value)
