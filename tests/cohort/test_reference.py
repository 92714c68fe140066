"""The packaged make-up of the reference study, its own folds, and what the splitter makes of its patients."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture_vae.cohort.balance import gaps, level_auroc
from fracture_vae.cohort.check import check_table
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.cohort.reference import reference_study
from fracture_vae.cohort.split import split_table


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, table: Callable[..., Path]) -> Path:
    """A cohort of the study's make-up and folds, whose images are tiny and no two alike."""
    folder = tmp_path_factory.mktemp("reference")
    rows = []
    for number, vertebra in enumerate(reference_study()):
        name = f"{vertebra.patient_id}_{vertebra.level}"
        np.save(folder / f"{name}.npy", np.float32([[[number, -1]]]))
        rows.append(
            {
                "case_id": name,
                "patient_id": vertebra.patient_id,
                "level": vertebra.level,
                "label": int(vertebra.fractured),
                "fold": vertebra.fold,
                "image": f"{name}.npy",
            }
        )
    return table(folder / "cohort.csv", rows)


def test_the_reference_study_has_its_published_make_up() -> None:
    study = reference_study()
    assert len(study) == 514
    assert len({vertebra.patient_id for vertebra in study}) == 38
    folds = Counter((vertebra.fold, vertebra.fractured) for vertebra in study)
    normals = {fold: sum(folds[(other, False)] for other in "12345" if other != fold) for fold in "12345"}
    assert sorted(normals.values(), reverse=True) == [190, 180, 177, 177, 176]
    assert (folds[("test", False)], folds[("test", True)]) == (54, 52)
    assert sum(not v.fractured for v in study if v.level == "L2") == 6, "the trap: normals are rare where fractures are"


def test_its_own_folds_give_its_numbers_through_the_cohort_and_the_check(study: Path) -> None:
    cohort = read_cohort(study)
    trained = [len(cohort.training(fold)) for fold in cohort.folds]
    assert sorted(trained, reverse=True) == [190, 180, 177, 177, 176]
    assert Counter(case.label for case in cohort.holdout()) == {0: 54, 1: 52}
    report = check_table(study)
    assert report.problems == ()
    assert [warning.split(" (")[0] for warning in report.warnings] == [
        "T11: no normal case in fold 2",
        "L1: no normal case in fold 4",
        "L2: no normal case in fold 1, 4",
        "L3: no normal case in fold 1",
        "the hold-out is not locked; fracture-vae cohort split cohort.csv locks it",
    ]
    lines = {line.split("  ")[0]: line.split() for line in report.text().splitlines()}
    assert sorted(map(int, lines["normals to train on"][4:]), reverse=True) == [190, 180, 177, 177, 176]
    assert lines["all levels"][-6:] == ["54", "/", "52", "279", "/", "235"]
    assert lines["L2"][-3:] == ["6", "/", "32"]
    assert level_auroc(cohort.cases) == pytest.approx(0.7276, abs=1e-4), "the trap in a number"


def test_its_own_folds_are_kept_by_a_split(cli: Callable[..., Any], study: Path, tmp_path: Path) -> None:
    made = cli("cohort", "split", study, "--out", tmp_path / "kept.csv")
    assert made.exit_code == 0, made.stderr
    kept = {case.case_id: case.fold for case in read_cohort(tmp_path / "kept.csv").cases}
    assert kept == {case.case_id: case.fold for case in read_cohort(study).cases}


def test_the_splitter_makes_every_level_s_normals_reach_every_fold(study: Path, tmp_path: Path) -> None:
    cohort = split_table(study, holdout="8", reassign=True, out=tmp_path / "new.csv")
    assert Counter(fold for _, fold in {(case.patient_id, case.fold) for case in cohort.cases}) == {
        **dict.fromkeys("12345", 6),
        "test": 8,
    }
    assert gaps(cohort.cases) == [], "where the study's own folds lack five"
    fractures = Counter(case.fold for case in cohort.cases if case.label == 1)
    in_folds = [fractures[fold] for fold in "12345"]
    assert max(in_folds) - min(in_folds) <= 4, "of about 37; the study's own differ by 9"
    trained = [len(cohort.training(fold)) for fold in cohort.folds]
    assert max(trained) - min(trained) <= 4, "the study's own differ by 14"
    held = Counter((case.level, case.label) for case in cohort.holdout())
    assert all(held[level, 0] for level in {case.level for case in cohort.cases}), "normals of every level"
    assert abs(fractures["test"] - 235 * 8 / 38) < 2
