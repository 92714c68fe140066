"""From healthy maps out of fold to a calibration a fold.

No case is ranked by moments it went into: that would flatter the calibration's cases, and new ones would look worse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.calibration.conformal import Reference
from fracture_vae.maps.calibration.layouts import Layout, Voxels
from fracture_vae.maps.calibration.moments import Moments, shrunk
from fracture_vae.maps.calibration.stored import Calibration
from fracture_vae.maps.calibration.survival import GRID, survival
from fracture_vae.maps.scores import case_score


class HealthyCase(NamedTuple):
    """The map of a normal case under a model that has not seen its patient."""

    voxels: Voxels
    region: Tensor
    patient: str
    """The patient's pseudonym."""


class Terms(NamedTuple):
    """What every calibration of a study shares."""

    layout: Layout
    fraction: float
    """Share of a map's valid voxels that makes its score."""
    alpha: float
    settings: Mapping[str, Any]
    study: str


def fit_folds(folds: Mapping[int, Sequence[HealthyCase]], terms: Terms) -> dict[int, Calibration]:
    """Return a calibration a fold: moments are the other folds', scores the fold's own.

    Args:
        folds: by number, at least two; each is gone through twice.
        terms: what they share.
    """
    own = {fold: moments_of(terms.layout, cases) for fold, cases in folds.items()}
    found = {}
    for fold, cases in folds.items():
        others = [shape for other, shape in own.items() if other != fold]
        found[fold] = calibrated(reduce(add, others), cases, terms, "cross")
    return found


def fit_split(cases: Sequence[HealthyCase], terms: Terms, where: str) -> Calibration:
    """Return the calibration of a single model: one half of the patients gives moments, the other half scores.

    Raises:
        InputError: when all cases are one patient's; ``where`` names the model.
    """
    first, second = halves([case.patient for case in cases])
    if not second:
        raise InputError(
            f"{where}: its fold has normal cases of one patient only; calibration needs two patients, one for what is "
            "usual and one to rank"
        )
    moments = moments_of(terms.layout, [cases[index] for index in first])
    return calibrated(moments, [cases[index] for index in second], terms, "split")


def halves(patients: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the cases of one half of the patients and of the other, alike in number, by index.

    Patients are dealt by their pseudonym, a hash, so that nothing about their scans decides.
    """
    sides: tuple[list[int], list[int]] = ([], [])
    for patient in sorted(set(patients)):
        smaller = min(sides, key=len)
        smaller += [index for index, owner in enumerate(patients) if owner == patient]
    return sides


class Shape(NamedTuple):
    """Moments, and whose cases gave them."""

    moments: Moments
    patients: frozenset[str]

    def __add__(self, other: "Shape") -> "Shape":  # type: ignore[override]
        return Shape(self.moments + other.moments, self.patients | other.patients)


def moments_of(layout: Layout, cases: Sequence[HealthyCase]) -> Shape:
    """Return the moments of all ``cases``, of which there is one at least."""
    return reduce(add, (Shape(layout.moments(case.voxels), frozenset([case.patient])) for case in cases))


def calibrated(shape: Shape, cases: Sequence[HealthyCase], terms: Terms, design: str) -> Calibration:
    """Return the calibration of a model: ``shape`` says what is usual, ``cases``, which are not among its, rank."""
    found = Calibration(
        layout=terms.layout,
        usual=shrunk(shape.moments, terms.layout.places, terms.layout.prior(shape.moments)),
        reference=Reference(np.zeros(0), ()),
        survival=torch.zeros(GRID.shape, dtype=torch.float64),
        alpha=terms.alpha,
        settings=terms.settings,
        study=terms.study,
        shaped_by=tuple(sorted(shape.patients)),
        design=design,
    )
    scores, patients, tables = [], [], torch.zeros(GRID.shape, dtype=torch.float64)
    for case in cases:
        z = found.z(case.voxels)
        scores.append(case_score(z, case.voxels.valid, case.region, terms.fraction))
        patients.append(case.patient)
        tables += survival(z, case.voxels.valid)
    return replace(found, reference=Reference(np.array(scores), tuple(patients)), survival=tables)
