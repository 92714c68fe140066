"""Healthy cases to show a calibration's rate of false alarms on: drawn anew for a seed, or a cohort's dealt anew."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fracture_vae.cohort.levels import in_order
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.cohort.reference import reference_study
from fracture_vae.cohort.volumes import read_volume

FOLDS = 5
SIZE = 16
"""Edge of a drawn volume in voxels, of 4 mm."""


class Normal(NamedTuple):
    """A normal case: its volume, (size, size, size) in [0, 1], whose it is, its level, and its fold (0: a new one)."""

    volume: NDArray[np.float32]
    patient: str
    level: str
    fold: int


def drawn_study(seed: int, patients: int, new: int) -> list[Normal]:
    """Draw a study: ``patients`` in folds and ``new`` ones, each with the normal levels of a patient of the reference.

    A volume is a body whose height and width follow its level, with a dense rim, in soft tissue. A patient's bone
    density, size, position and noise are their own, so that their cases are alike; texture and pose are each case's.
    """
    rng = np.random.default_rng([seed, 0])
    normals: dict[str, list[str]] = {}
    for vertebra in reference_study():
        if not vertebra.fractured:
            normals.setdefault(vertebra.patient_id, []).append(vertebra.level)
    compositions = list(normals.values())
    order = in_order({level for levels in compositions for level in levels})
    cases = []
    for index in range(patients + new):
        fold = index % FOLDS + 1 if index < patients else 0
        own = rng.standard_normal(4)
        for level in compositions[int(rng.integers(len(compositions)))]:
            place = order.index(level) / (len(order) - 1)
            cases.append(Normal(_vertebra(place, own, rng), f"patient{index}", level, fold))
    return cases


def _vertebra(place: float, patient: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a volume; ``place`` runs from 0 (T4) to 1 (L5), ``patient`` is (4,) standard normal."""
    density, size, shift, noise = patient
    pose = rng.normal([0, 0.04 * shift, 0], 0.05)
    radii = np.array([0.45, 0.4, 0.35]) * (1 + 0.25 * place + 0.06 * size + rng.normal(0, 0.03, 3))
    axes = np.meshgrid(*[np.linspace(-1, 1, SIZE)] * 3, indexing="ij")
    distance = np.sqrt(sum(((a - c) / r) ** 2 for a, c, r in zip(axes, pose, radii, strict=True)))
    texture = gaussian_filter(rng.standard_t(4, (SIZE,) * 3), 1) * 0.2
    body = (0.3 + 0.05 * density) * (1 + texture)
    rim = (0.5 + 0.08 * density) * np.exp(-(((distance - 1) / 0.15) ** 2))
    volume = np.where(distance < 1, body, 0.12) + rim + rng.normal(0, 0.02 * np.exp(0.25 * noise), (SIZE,) * 3)
    return np.clip(volume, 0, 1).astype(np.float32)


def read_normals(cohort: Path, size: int) -> list[Normal]:
    """Return the normal cases of a cohort of registered crops, as block means on a grid of edge ``size``."""
    return [
        Normal(_reduced(read_volume(case.image).array, size), case.patient_id, case.level, 0)
        for case in read_cohort(cohort).cases
        if case.label == 0
    ]


def _reduced(array: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    block = array.shape[0] // size
    return array.reshape(size, block, size, block, size, block).mean((1, 3, 5), dtype=np.float64).astype(np.float32)


def dealt_study(cases: Sequence[Normal], seed: int, new: int) -> list[Normal]:
    """Deal the patients anew: ``new`` of them are new ones, the others go to folds of alike many patients."""
    names = sorted(Counter(case.patient for case in cases))
    shuffled = np.random.default_rng([seed, 1]).permutation(len(names))
    fold = {names[at]: 0 if rank < new else rank % FOLDS + 1 for rank, at in enumerate(shuffled.tolist())}
    return [case._replace(fold=fold[case.patient]) for case in cases]
