"""A data set of images or vectors as a run uses it: what trains, what validates, and the record of both."""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from fracture_vae.cohort.images import Images, LabelledImages, open_images
from fracture_vae.cohort.images.load import DIGITS
from fracture_vae.cohort.vectors import is_matrix
from fracture_vae.errors import InputError
from fracture_vae.training.about import About
from fracture_vae.training.acceleration import Acceleration
from fracture_vae.training.images import ImageDataset
from fracture_vae.training.perceptual import NONE, OWN
from fracture_vae.training.run_folder import followed, write_record
from fracture_vae.training.session import about_network
from fracture_vae.training.vectors import VectorPlan, open_vectors

logger = logging.getLogger(__name__)

_VALIDATION_SHARE = 6  # one part in six: MNIST's usual 50,000 and 10,000


class Study(NamedTuple):
    """A data set in three parts. The test part is for the figures at the end; no epoch is chosen by it."""

    name: str
    train: LabelledImages
    validate: LabelledImages
    test: LabelledImages
    sha256: str
    """Of the values and labels of all parts."""
    preparation: Mapping[str, Any] = {}
    """Of vectors: how they were standardised and split, and what their labels stand for."""


def open_study(data: str, data_dir: str | os.PathLike[str], plan: VectorPlan | None = None) -> Study:
    """Return the data set ``data``, its last sixth of training samples set apart for validation; or a matrix.

    Args:
        data: a name `open_images` knows, or the file of a matrix.
        data_dir: the folder ``fracture-vae data`` puts data sets in.
        plan: how vectors are prepared; None where the network takes images only.

    Raises:
        InputError: as `open_images` and `open_vectors`; for too few images, a matrix where images are needed, or the
            reverse.
    """
    if is_matrix(data):
        if plan is None:
            raise InputError(f"data {data}: this bundle takes images; train mnist_ae or mnist_vae on a matrix")
        vectors = open_vectors(Path(data).expanduser(), plan)
        parts = (vectors.train, vectors.validate, vectors.test)
        return Study(Path(data).name, *parts, _digest(parts), vectors.preparation)
    if plan is not None and plan.for_matrices:
        raise InputError(f"data {data}: standardise and labels are for matrices; images are in [0, 1] already")
    found: Images = open_images(data, Path(data_dir).expanduser())
    if len(found.train.images) < _VALIDATION_SHARE or not len(found.test.images):
        raise InputError(
            f"data {data}: has {len(found.train.images)} images to train and {len(found.test.images)} to test; "
            f"{_VALIDATION_SHARE} and 1 are the least, as a sixth of the former validates"
        )
    cut = len(found.train.images) - len(found.train.images) // _VALIDATION_SHARE
    train, validate = (
        LabelledImages(found.train.images[where], found.train.labels[where]) for where in (slice(cut), slice(cut, None))
    )
    return Study(found.name, train, validate, found.test, _digest((found.train, found.test)))


def _digest(parts: Sequence[LabelledImages]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for array in part:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def about_study_model(
    bundle_root: str,
    config: Mapping[str, Any],
    network: nn.Module,
    study: Study,
    normal: Sequence[int] | None,
    dataset: ImageDataset,
) -> About:
    """Return what a checkpoint says of itself: the network, and the data it has seen (``normal`` labels, or all)."""
    data = {
        "name": study.name,
        "sha256": study.sha256,
        "normal": None if normal is None else list(normal),
        "samples": len(dataset),
        **study.preparation,
    }
    return about_network(bundle_root, config, network, data=data)


def announce_study(study: Study, train: ImageDataset, validate: ImageDataset, acceleration: Acceleration) -> None:
    """Log what is about to be trained on, and how."""
    size = "×".join(map(str, train.size))
    logger.info("%s: %d training and %d validation samples of %s", study.name, len(train), len(validate), size)
    if len(train.size) == 1:
        logger.info("vectors have no pictures: reconstructions, samples and traversals are left out")
    logger.info("running on %s", acceleration)


def write_study_meta(
    run_dir: str, bundle_root: str, config: Mapping[str, Any], study: Study, acceleration: Acceleration
) -> None:
    """Record how a run came about; see :func:`~fracture_vae.training.run_folder.write_record`.

    Digits that were taken for want of the data set asked for are what its config says: resumed, it takes them again.
    """
    data = {
        "name": study.name,
        "sha256": study.sha256,
        "samples": {"train": len(study.train.images), "validate": len(study.validate.images)},
        **{key: value for key, value in study.preparation.items() if key != "standard"},
    }
    config = {**config, **_absolute(config), **({"data": DIGITS} if study.name == DIGITS else {})}
    write_record(run_dir, bundle_root, config, {"data": data}, acceleration)


def _absolute(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that are paths, free of the current folder: the run may be resumed from another."""
    paths = {key: config[key] for key in ("data", "data_dir", "perceptual") if isinstance(config.get(key), str)}
    named = {
        key: value
        for key, value in paths.items()
        if not (value.startswith("$") or (key == "data" and not is_matrix(value)) or value in (NONE, OWN))
    }
    return {key: str(followed(Path(value).expanduser()).resolve()) for key, value in named.items()}
