"""A matrix as a run uses it: split by a seed, standardised by what trains, and the record of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fracture_vae.cohort.images import LabelledImages
from fracture_vae.cohort.vectors import Matrix, fit_standard, read_matrix
from fracture_vae.errors import InputError

_PARTS = 6  # one row in six tests, one validates, the others train


@dataclass(frozen=True)
class VectorPlan:
    """How a matrix becomes samples."""

    standardise: str = "none"
    """none, zscore or log1p, of each feature."""
    labels: str | None = None
    """Where labels are; see :func:`~fracture_vae.cohort.vectors.read_matrix`."""
    split_seed: int = 0
    """Of the rows' permutation."""
    output: str = "sigmoid"
    """The network's output function; sigmoid needs values in [0, 1]."""

    @property
    def for_matrices(self) -> bool:
        """Whether it asks for something that images do not have."""
        return self.standardise != "none" or self.labels is not None


class Vectors(NamedTuple):
    """A matrix in three parts, and what its checkpoints say of it."""

    train: LabelledImages
    validate: LabelledImages
    test: LabelledImages
    preparation: Mapping[str, Any]


def open_vectors(path: Path, plan: VectorPlan) -> Vectors:
    """Return the matrix in ``path``, a sixth of its rows each for testing and validation (one at least).

    Raises:
        InputError: as `read_matrix` and `fit_standard`; for fewer than three rows, or values outside [0, 1] where
            the network's output is a sigmoid.
    """
    matrix: Matrix = read_matrix(path, plan.labels)
    count = len(matrix.values)
    if count < 3:
        raise InputError(f"data {path}: has {count} rows; three are the least, one each to train, validate and test")
    if isinstance(plan.split_seed, bool) or not isinstance(plan.split_seed, int) or plan.split_seed < 0:
        raise InputError(f"split_seed is {plan.split_seed!r}; it must be a whole number of 0 or more")
    order, part = np.random.default_rng(plan.split_seed).permutation(count), max(1, count // _PARTS)
    rows = {"test": order[:part], "validate": order[part : 2 * part], "train": order[2 * part :]}
    standard = fit_standard(plan.standardise, matrix.values[rows["train"]])
    values = standard(matrix.values)
    if plan.output == "sigmoid" and (values.min() < 0 or values.max() > 1):
        raise InputError(
            f"data {path}: values from {values.min():.4g} to {values.max():.4g}, which a sigmoid cannot give; set "
            "output identity and likelihood gaussian (--variant vectors does)"
        )
    split = {name: LabelledImages(values[where], matrix.labels[where]) for name, where in rows.items()}
    said = {"standard": standard.plain(), "split_seed": plan.split_seed, "classes": list(matrix.classes)}
    return Vectors(**split, preparation=said)
