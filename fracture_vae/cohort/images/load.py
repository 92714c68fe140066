"""A data set's images and labels in memory, or, with none at hand, scikit-learn's real digits enlarged to 28 × 28."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.images.catalog import DATASETS, DataSet
from fracture_vae.cohort.images.formats import parse_idx, read_bytes, read_cifar
from fracture_vae.cohort.synthetic import cache_folder
from fracture_vae.errors import InputError, nearest

logger = logging.getLogger(__name__)


def images_folder() -> Path:
    """Return where ``fracture-vae data`` puts data sets: ``images`` in the package's cache folder."""
    return cache_folder() / "images"


DIGITS = "digits"
"""scikit-learn's 1797 digits of 8 × 8, which come with it."""
_TEST_SHARE = 6  # every sixth digit is for testing


class LabelledImages(NamedTuple):
    """Images (N, C, H, W) uint8 and their labels (N,) uint8; or vectors (N, F) float32 and labels int64."""

    images: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.uint8] | NDArray[np.int64]


class Images(NamedTuple):
    """A data set: what to train on and what to test on."""

    name: str
    train: LabelledImages
    test: LabelledImages


def open_images(name: str, cache: Path) -> Images:
    """Return the data set ``name`` from ``cache/<name>``, or the digits where none of it is there, saying so.

    Raises:
        InputError: for an unknown name, a file of several that is missing, or files that are not sound.
    """
    if name == DIGITS:
        return digits()
    if name not in DATASETS:
        known = (*DATASETS, DIGITS)
        raise InputError(f"data '{name}' is not one of {', '.join(known)}{nearest(name, known)}")
    folder = cache / name
    missing = [file.name for file in DATASETS[name].files if not (folder / file.name).is_file()]
    if missing and len(missing) < len(DATASETS[name].files):
        raise InputError(
            f"{folder}: has no {missing[0]}, but other files of {name}; fracture-vae data {name} fetches it"
        )
    if missing:
        logger.warning(
            "%s is not in %s: taking scikit-learn's 1797 digits instead, 8×8 enlarged to 28×28 "
            "(fracture-vae data %s fetches it)",
            DATASETS[name].title, folder, name,
        )  # fmt: skip
        return digits()
    return load_images(DATASETS[name], folder)


def load_images(dataset: DataSet, folder: Path) -> Images:
    """Return a data set whose files lie in ``folder``.

    Raises:
        InputError: missing or damaged files.
    """
    if dataset.name == "cifar10":
        splits = read_cifar(folder / dataset.files[0].name)
        return Images(dataset.name, LabelledImages(*splits["train"]), LabelledImages(*splits["test"]))
    arrays = [parse_idx(read_bytes(folder / file.name), str(folder / file.name)) for file in dataset.files]
    pairs = [LabelledImages(images[:, None], labels) for images, labels in (arrays[:2], arrays[2:])]
    for pair, file in zip(pairs, dataset.files[::2], strict=True):
        if pair.images.ndim != 4 or pair.labels.shape != pair.images.shape[:1]:
            raise InputError(f"{folder / file.name}: images and labels do not belong together; fetch them again")
    train, test = (pair.images.shape[2:] for pair in pairs)
    if train != test:
        raise InputError(f"{folder}: images of {train} train and of {test} test; give images of one size")
    return Images(dataset.name, *pairs)


def digits() -> Images:
    """Return scikit-learn's handwritten digits (1797 of 8 × 8), enlarged to 28 × 28 by cubic interpolation.

    Every sixth is for testing. They are the test part of Alpaydin & Kaynak's optical recognition data (UCI, 1998).
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    bunch = load_digits()
    large = zoom(bunch.images / 16.0, (1, 3, 3), order=3, mode="nearest", grid_mode=True)  # 24 × 24
    padded = np.pad(large, ((0, 0), (2, 2), (2, 2)))
    images = np.rint(255 * padded.clip(0, 1)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.uint8)
    test = np.arange(len(images)) % _TEST_SHARE == 0
    return Images(DIGITS, LabelledImages(images[~test], labels[~test]), LabelledImages(images[test], labels[test]))
