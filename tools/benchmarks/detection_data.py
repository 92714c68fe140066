"""The tasks of the detection benchmark as cohorts, and their held-out cases with the truth.

| task | cohort | held out |
| --- | --- | --- |
| hippocampus | brain MRI crops, as they are and with an anomaly put in | a fifth of the patients |
| vessel | vessel segments, healthy and with an aneurysm | the data set's validation split |

Models train on the normal cases of the other folds. Compositions are chosen on fold 2 of a cohort with anomalies of
another seed (`SELECTION_SEED`); fold 1 and the anomalies of `TEST_SEED` are for the figures that are shown.

No model learns from an abnormal case, so more of them stand beside those held out (`wider`): aneurysms of the folds
that nothing was chosen on, and more anomalies put into the scans held out (`MORE_SEEDS`).
"""

from dataclasses import replace
from pathlib import Path

from fracture_vae.cohort.case import Case
from fracture_vae.cohort.injection import inject_cohort
from fracture_vae.cohort.manifest import Cohort, read_cohort, write_cohort
from fracture_vae.errors import InputError
from tools.benchmarks.reconstruction_data import make_cohort

TASKS = ("hippocampus", "vessel")
TEST_SEED, SELECTION_SEED = 0, 1
MORE_SEEDS = (2, 3, 4)
TEST_FOLD, SELECTION_FOLD = 1, 2


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


def wider(task: str, cohort: Cohort, fold: int) -> Cohort:
    """Return ``cohort`` with more abnormal cases in ``fold``, a table beside its own; what models learn from stays."""
    table = cohort.path.with_name(f"cohort_wider_{fold}.csv")
    more = _anomalies_elsewhere if task == "vessel" else _anomalies_anew
    write_cohort(table, more(cohort, fold))
    return read_cohort(table)


def _anomalies_elsewhere(cohort: Cohort, fold: int) -> list[Case]:
    """Return the cases, with all abnormal ones in ``fold`` but those of the selection's."""
    chosen_on = str(SELECTION_FOLD)
    return [
        replace(case, fold=str(fold)) if case.label == 1 and case.fold != chosen_on else case for case in cohort.cases
    ]


def _anomalies_anew(cohort: Cohort, fold: int) -> list[Case]:
    """Return the cases and, of each scan in ``fold``, one more with an anomaly for each of `MORE_SEEDS`."""
    cases = list(cohort.cases)
    scans = cohort.path.with_name(f"cohort_scans_{fold}.csv")
    write_cohort(scans, [case for case in cases if case.label == 0 and case.fold == str(fold)])
    for seed in MORE_SEEDS:
        injected = cohort.path.parent / f"more-{fold}-{seed}" / "cohort.csv"
        again = read_cohort(injected if injected.exists() else inject_cohort(scans, injected.parent, seed=seed))
        cases += [replace(case, case_id=f"{case.case_id}_{seed}") for case in again.cases if case.label == 1]
    return cases


def only(cohort: Cohort, wider: Cohort, fold: int) -> Cohort:
    """Return ``wider`` with the labels of those cases alone that ``cohort`` has in ``fold``."""
    own = {case.case_id for case in cohort.cases if case.fold == str(fold)}
    table = wider.path.with_name(f"cohort_only_{fold}.csv")
    write_cohort(table, [case if case.case_id in own else replace(case, label=None) for case in wider.cases])
    return read_cohort(table)
