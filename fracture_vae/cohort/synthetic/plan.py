"""What a synthetic study consists of: which patients, in which folds, with which vertebrae broken how.

A plan follows from its seed alone and is known before anything is rendered.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fracture_vae.cohort.genant import Fracture
from fracture_vae.cohort.levels import parse_levels
from fracture_vae.cohort.manifest import HOLDOUT, Case
from fracture_vae.cohort.phantom import ASKABLE
from fracture_vae.cohort.reference import reference_study
from fracture_vae.cohort.split import assign_folds
from fracture_vae.errors import InputError, nearest

PHANTOM_VERSION = 2
"""Raised when the same plan gives other voxels or files, so that caches and unfinished studies are made anew."""
TYPE_SHARES = {"wedge": 0.6, "biconcave": 0.25, "crush": 0.15}
"""How often each type is drawn: mostly wedges, as in surveys of osteoporotic fractures; set by hand."""
_GRADES = (1, 2, 3)
_PATIENT_SEEDS = 100_003  # patients of two plans share a seed only where plan seeds are this far apart


class PlannedPatient(NamedTuple):
    """One patient to be: where the vertebrae are listed from head to foot, and None is a whole one."""

    name: str
    fold: str
    seed: int
    vertebrae: Mapping[str, Fracture | None]

    @property
    def fractures(self) -> dict[str, Fracture]:
        """The broken levels."""
        return {level: fracture for level, fracture in self.vertebrae.items() if fracture is not None}


@dataclass(frozen=True)
class Plan:
    """Patients, and the grid of their crops.

    Args:
        patients: in the order of the study's table.
        size: edge of a crop in voxels.
        spacing: of a crop, mm.
        seed: what the patients were drawn from.
    """

    patients: tuple[PlannedPatient, ...]
    size: int = 128
    spacing: float = 1.0
    seed: int = 0

    @property
    def vertebrae(self) -> int:
        """How many crops the study has."""
        return sum(len(patient.vertebrae) for patient in self.patients)

    def digest(self) -> str:
        """Return what stands for the plan and the phantom's version in a folder's name."""
        return hashlib.sha256(f"{self} {PHANTOM_VERSION}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class SyntheticCohort:
    """A study of any size.

    Args:
        patients: in folds 1 to ``folds``.
        holdout: further patients, fold ``test``.
        levels: what every patient has, T4 to L5.
        fractured, fractured_holdout: share of the vertebrae broken, in the folds and in the hold-out.
        folds: number of folds.
        size: edge of a crop in voxels.
        spacing: of a crop, mm.
        seed: everything follows from it.

    Raises:
        InputError: for counts or levels that make no cohort.
    """

    patients: int = 10
    holdout: int = 2
    levels: tuple[str, ...] = ("T12", "L1", "L2")
    fractured: float = 1 / 3
    fractured_holdout: float = 0.5
    folds: int = 5
    size: int = 128
    spacing: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.folds <= self.patients:
            raise InputError(f"{self.patients} patients cannot fill {self.folds} folds; need 2 ≤ folds ≤ patients")
        if self.holdout < 0 or not self.levels:
            raise InputError("a synthetic cohort needs at least one level and no negative hold-out")
        for level in self.levels:
            if level not in ASKABLE:
                raise InputError(f"level '{level}' can't be simulated{nearest(level, ASKABLE)}; use T4 … T12, L1 … L5")
        if len(set(self.levels)) < len(self.levels):
            raise InputError(f"levels {', '.join(self.levels)}: name each once")
        for name in ("fractured", "fractured_holdout"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; a share lies in [0, 1]")
        _check_grid(self.size, self.spacing, self.seed)


def asked_levels(text: str) -> tuple[str, ...]:
    """Expand ``"T4-L5"`` to levels, without the rare T13 that `parse_levels` counts among them.

    Raises:
        InputError: a range whose ends are not levels in order.
    """
    return tuple(level for level in parse_levels(text) if level != "T13")


def plan_cohort(asked: SyntheticCohort) -> Plan:
    """Draw a study; more patients leave the first ones as they were, but for their folds.

    Raises:
        InputError: when too few patients would have a whole vertebra to fill the folds.
    """
    levels = sorted(asked.levels, key=ASKABLE.index)
    drawn = []
    for index in range(asked.patients + asked.holdout):
        held_out = index >= asked.patients
        rng = np.random.default_rng([asked.seed, index])
        exact = (asked.fractured_holdout if held_out else asked.fractured) * len(levels)
        count = int(exact) + int(rng.random() < exact % 1)
        broken = sorted(rng.choice(len(levels), size=count, replace=False).tolist())
        vertebrae = _vertebrae(levels, [levels[i] for i in broken], rng)
        drawn.append(_patient(f"synth{index:03d}", HOLDOUT if held_out else "", asked.seed, index, vertebrae))
    with_whole = sum(len(patient.fractures) < len(levels) for patient in drawn[: asked.patients])
    if with_whole < asked.folds:
        raise InputError(
            f"{with_whole} of {asked.patients} patients would have an unbroken vertebra, fewer than {asked.folds}"
            " folds; ask for more patients, more levels or fewer folds"
        )
    return Plan(_dealt(drawn, asked.folds, asked.seed), asked.size, asked.spacing, asked.seed)


def plan_reference(size: int = 128, spacing: float = 1.0, seed: int = 0) -> Plan:
    """Draw synthetic patients with the levels, folds, hold-out and fractured levels of `reference_study`.

    Of a fracture the reference knows no type or grade: both are drawn. A patient's name is the reference's with
    ``synth`` before it, so that nobody takes it for the patient.

    Raises:
        InputError: for a grid or seed that cannot be.
    """
    _check_grid(size, spacing, seed)
    patients = []
    for index, (name, own) in enumerate(itertools.groupby(reference_study(), lambda vertebra: vertebra.patient_id)):
        listed = list(own)
        rng = np.random.default_rng([seed, index])
        vertebrae = _vertebrae([v.level for v in listed], [v.level for v in listed if v.fractured], rng)
        patients.append(_patient(f"synth{name}", listed[0].fold, seed, index, vertebrae))
    return Plan(tuple(patients), size, spacing, seed)


def _check_grid(size: int, spacing: float, seed: int) -> None:
    if not 8 <= size <= 512 or not 0.5 <= spacing <= 8:
        raise InputError(f"size {size} at {spacing:g} mm: no such crop; use 8 to 512 voxels of 0.5 to 8 mm")
    if seed < 0:
        raise InputError(f"seed {seed} is negative; use 0 or more")


def _patient(name: str, fold: str, seed: int, index: int, vertebrae: Mapping[str, Fracture | None]) -> PlannedPatient:
    return PlannedPatient(name, fold, seed * _PATIENT_SEEDS + index, vertebrae)


def _vertebrae(levels: Sequence[str], broken: Sequence[str], rng: np.random.Generator) -> dict[str, Fracture | None]:
    """Draw a patient's fractures: types by `TYPE_SHARES`, grades as balanced as their number allows."""
    types = rng.choice(list(TYPE_SHARES), size=len(broken), p=list(TYPE_SHARES.values())).tolist()
    grades = rng.permutation(np.resize(rng.permutation(_GRADES), len(broken))).tolist()
    drawn = {level: Fracture(*pair) for level, *pair in zip(broken, types, grades, strict=True)}
    return {level: drawn.get(level) for level in levels}


def _dealt(patients: Sequence[PlannedPatient], folds: int, seed: int) -> tuple[PlannedPatient, ...]:
    """Give patients without a fold one, as `assign_folds` deals any cohort's."""
    rows = [
        Case(
            case_id=f"{patient.name}_{level}",
            patient_id=patient.name,
            image=Path(),
            level=level,
            label=int(fracture is not None),
            fold=patient.fold,
        )
        for patient in patients
        for level, fracture in patient.vertebrae.items()
    ]
    fold = {case.patient_id: case.fold for case in assign_folds(rows, folds, seed)}
    return tuple(patient._replace(fold=fold[patient.name]) for patient in patients)
