"""The tasks of the detection benchmark as cohorts, and their held-out cases with the truth.

| task | cohort | held out |
| --- | --- | --- |
| hippocampus | brain MRI crops, as they are and with an anomaly put in | a fifth of the patients |
| vessel | vessel segments, healthy and with an aneurysm | the data set's validation split |

Models train on the normal cases of the other folds. Compositions are chosen on fold 2 of a cohort with anomalies of
another seed (`SELECTION_SEED`); fold 1 and the anomalies of `TEST_SEED` are for the figures that are shown.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.injection import inject_cohort
from fracture_vae.cohort.manifest import Case, Cohort, read_cohort
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.transforms import Preprocessing
from tools.benchmarks.reconstruction_data import make_cohort

TASKS = ("hippocampus", "vessel")
INTENSITY = {"hippocampus": "percentile", "vessel": "none"}
TEST_SEED, SELECTION_SEED = 0, 1
TEST_FOLD, SELECTION_FOLD = 1, 2


class HeldOutCases(NamedTuple):
    """The N held-out cases of a task, normal and abnormal."""

    cases: tuple[Case, ...]
    arrays: list[NDArray[np.float32]]
    """Each (H, W, D) in [0, 1], RAS."""
    truths: list[NDArray[np.bool_]] | None
    """Where the anomaly is, as the arrays; None for a task without voxel truth."""

    @property
    def labels(self) -> list[int]:
        """0 normal, 1 abnormal."""
        return [int(case.label or 0) for case in self.cases]

    @property
    def patients(self) -> list[str]:
        """Whose case each is."""
        return [case.patient_id for case in self.cases]


def detection_cohort(task: str, data: Path, folder: Path, seed: int = TEST_SEED) -> Cohort:
    """Return the task's cohort, made below ``folder`` unless it is there.

    Args:
        task: one of `TASKS`.
        data: the folder of the public data sets.
        folder: where cohorts are kept.
        seed: of the anomalies of ``hippocampus``.

    Raises:
        InputError: the data are not there.
    """
    if task not in TASKS:
        raise InputError(f"task '{task}' is not one of {', '.join(TASKS)}")
    plain = folder / task / "cohort.csv"
    healthy = read_cohort(plain) if plain.exists() else make_cohort(task, data, folder / task)
    if task == "vessel":
        return healthy
    injected = folder / f"{task}-anomalies-{seed}" / "cohort.csv"
    return read_cohort(injected if injected.exists() else inject_cohort(plain, injected.parent, seed=seed))


def held_out_cases(cohort: Cohort, fold: int, preprocessing: Preprocessing) -> HeldOutCases:
    """Return all cases of ``fold``; truths where any case of the cohort has one."""
    cases = tuple(case for case in cohort.cases if case.fold == str(fold) and case.label is not None)
    arrays = [preprocessing(read_volume(case.image).array, str(case.image)) for case in cases]
    with_truth = any(case.mask for case in cohort.cases)
    truths = [_truth(case, array) for case, array in zip(cases, arrays, strict=True)] if with_truth else None
    return HeldOutCases(cases, arrays, truths)


def about(held: HeldOutCases) -> dict[str, Any]:
    """Return what a result rests on: numbers of cases and, where there are truths, the share of voxels in them."""
    counts: dict[str, Any] = {"normal": held.labels.count(0), "abnormal": held.labels.count(1)}
    if held.truths is not None:
        inside = sum(int(truth.sum()) for truth in held.truths)
        counts["anomalous_voxels"] = inside / sum(truth.size for truth in held.truths)
    return counts


def _truth(case: Case, array: NDArray[np.float32]) -> NDArray[np.bool_]:
    if case.mask is None:
        return np.zeros(array.shape, dtype=bool)
    return read_volume(case.mask, allow_constant=True).array > 0
