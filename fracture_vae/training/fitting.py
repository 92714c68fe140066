"""Baselines fitted to a fold's healthy volumes, in run folders like those of trained networks."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fracture_vae.cohort.levels import level_index
from fracture_vae.cohort.manifest import Cohort
from fracture_vae.cohort.volumes import read_stored
from fracture_vae.errors import InputError
from fracture_vae.networks import Fitted, build_network
from fracture_vae.training.checkpoints import FOLDER, LAST, save
from fracture_vae.training.data import VolumeDataset
from fracture_vae.training.run_folder import write_meta
from fracture_vae.training.session import about_model, finish
from fracture_vae.transforms import Preprocessing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Baseline:
    """A fitted network and what its maps are made of.

    Attributes:
        network: registered name of a fitted network.
        options: of that network, beside ``size``.
        score: of its maps by default, as `fracture_vae.maps.scores.compose` takes it.
    """

    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    score: Any = "l1"


BASELINES: Mapping[str, Baseline] = {
    "template": Baseline("template"),
    "pca": Baseline("pca", {"components": 32}),
    "intensity": Baseline("blank", score="intensity"),
    "volume": Baseline("blank", score={"score": "volume", "top_fraction": 1.0}),
}
"""What a learned score must beat: the mean image, of each level by itself where the cohort has levels; principal
components; the brightest voxels; and how much tissue there is."""


def fit_baseline(
    run_dir: Path,
    bundle_root: Path,
    baseline: Baseline,
    composition: Mapping[str, Any],
    cohort: Cohort,
    fold: int,
    preprocessing: Preprocessing,
) -> None:
    """Fit ``baseline`` to what a network of ``fold`` would train on, and write checkpoint and record to ``run_dir``.

    Args:
        run_dir: an empty run folder.
        bundle_root: the bundle whose inference.json is to run it; a copy goes into the run folder.
        baseline: the network.
        composition: plain values of what its maps are made of.
        cohort, fold: as in training.
        preprocessing: likewise.

    Raises:
        InputError: for volumes or options that cannot be used.
    """
    data = VolumeDataset(cohort.training(fold), preprocessing, _size(cohort), multiple=1)
    levels = torch.tensor([level_index(case.level) for case in data.data])
    options = dict(baseline.options)
    if baseline.network == "template":
        options["levels"] = sorted(set(levels[levels > 0].tolist()))
    network = build_network(baseline.network, size=list(data.size), **options)
    if not isinstance(network, Fitted):
        raise InputError(f"network '{baseline.network}' is trained, not fitted; train a bundle with it")
    logger.info("fitting %s to %d volumes of %s", baseline.network, len(data), "×".join(map(str, data.size)))
    network.fit(data.images, levels)
    config = {"network": network.definition, "score": dict(composition), "seed": None}
    write_meta(run_dir, bundle_root, config, cohort, fold, "cpu")
    about = about_model(
        str(bundle_root), config, network, preprocessing, cohort, fold, data.size, score=dict(composition)
    )
    save(run_dir / FOLDER / LAST, {"network": network.state_dict(), "about": about.to_json()})
    finish(str(run_dir))


def _size(cohort: Cohort) -> list[int]:
    """Return the size that holds every volume of the folds: one grid for all, so that folds' models go together."""
    cases = [case for number in cohort.folds for case in cohort.cases if case.fold == str(number)]
    return list(np.max([read_stored(case.image).ras_shape for case in cases], axis=0).tolist())
