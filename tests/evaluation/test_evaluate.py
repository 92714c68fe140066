"""Maps against the truth, whole: figures by other programs, what is refused, what is told."""

import csv
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from fracture_vae.cohort.looks import looks_path, read_looks
from fracture_vae.cohort.manifest import Case, Cohort, read_cohort, write_cohort
from fracture_vae.errors import InputError
from fracture_vae.evaluation.evaluate import Evaluation
from fracture_vae.evaluation.evaluate import evaluate as evaluate_with_intervals
from fracture_vae.evaluation.table import as_json, as_table

evaluate = partial(evaluate_with_intervals, resamples=200)


@pytest.fixture(scope="module")
def maps(made_maps: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of the folds' cases, not of the hold-out's."""
    return made_maps(tmp_path_factory.mktemp("maps") / "maps")


@pytest.fixture(scope="module")
def found(maps: Path, made_study: Path) -> Evaluation:
    return evaluate(maps, made_study)


def cases_of(cohort: Cohort) -> list[Case]:
    return [case for case in cohort.cases if case.fold != "test"]


def scores_of(maps: Path) -> dict[str, float]:
    with (maps / "scores.csv").open(encoding="utf-8") as file:
        return {row["case_id"]: float(row["score"]) for row in csv.DictReader(file)}


def pooled(maps: Path, cases: list[Case]) -> tuple[np.ndarray, np.ndarray]:
    """All voxels of all cases: truth and score."""
    values = [np.asarray(nib.load(maps / f"{case.case_id}_error.nii.gz").dataobj).ravel() for case in cases]
    truths = [np.asarray(nib.load(case.mask).dataobj).ravel() if case.mask else np.zeros(12**3) for case in cases]
    return np.concatenate(truths) > 0, np.concatenate(values)


def test_case_figures_are_scikit_learn_s(found: Evaluation, maps: Path, made_cohort: Cohort) -> None:
    cases, scores = cases_of(made_cohort), scores_of(maps)
    labels, values = [case.label for case in cases], [scores[case.case_id] for case in cases]
    assert found.overall["auroc"].value == pytest.approx(roc_auc_score(labels, values))
    assert found.overall["average_precision"].value == pytest.approx(average_precision_score(labels, values))
    everything = found.groups[0]
    assert (everything.normal, everything.abnormal, everything.patients) == (14, 6, 10)


def test_voxel_figures_are_scikit_learn_s_within_the_bins(found: Evaluation, maps: Path, made_cohort: Cohort) -> None:
    truth, values = pooled(maps, cases_of(made_cohort))
    exact = average_precision_score(truth, values)
    assert found.binning is not None
    low, high = found.binning.voxel_average_precision
    assert low <= exact <= high
    assert high - low < 0.02
    assert found.overall["voxel_average_precision"].value == pytest.approx(exact, abs=2e-3)
    assert found.overall["voxel_auroc"].value == pytest.approx(roc_auc_score(truth, values), abs=1e-4)
    precision, recall, _ = precision_recall_curve(truth, values)
    dice = (2 * precision * recall / (precision + recall + 1e-12)).max()
    assert found.overall["dice@oracle"].value == pytest.approx(dice, abs=5e-3)
    everything = found.groups[0]
    assert everything.regions == 2 * 6
    assert everything.anomalous == pytest.approx(truth.mean())


def test_every_interval_holds_its_value(found: Evaluation) -> None:
    for group in found.groups:
        for name, (value, low, high) in group.measures.items():
            assert low - 1e-9 <= value <= high + 1e-9, (group.title, name)


def test_groups_are_levels_grades_and_types(found: Evaluation) -> None:
    groups = {group.title: group for group in found.groups}
    assert list(groups) == ["all", "level L1", "level L2", "grade 1", "grade 2", "type wedge"]
    assert (groups["level L1"].normal, groups["level L1"].abnormal) == (9, 1)
    assert (groups["grade 2"].normal, groups["grade 2"].abnormal) == (14, 2), "against all normals"
    # within levels: pairs of L1 and pairs of L2
    l1, l2 = groups["level L1"].measures["auroc"].value, groups["level L2"].measures["auroc"].value
    assert found.overall["within_level_auroc"].value == pytest.approx((9 * l1 + 25 * l2) / 34)


def test_the_level_alone_stands_beside_every_auroc(found: Evaluation) -> None:
    for group in found.groups:
        assert ("level_alone_auroc" in group.measures) == (group.by != "level"), "within a level it knows nothing"
        if group.by != "level":
            difference = group.measures["auroc"].value - group.measures["level_alone_auroc"].value
            assert group.measures["auroc_over_level_alone"].value == pytest.approx(difference)
    assert found.overall["level_alone_auroc"].value > 0.6, "L2 is broken more often"


def test_without_levels_nothing_is_said_of_them(maps: Path, made_cohort: Cohort, tmp_path: Path) -> None:
    rows = [Case(**{**vars(case), "level": ""}) for case in made_cohort.cases]
    write_cohort(tmp_path / "cohort.csv", rows)
    found = evaluate(maps, tmp_path / "cohort.csv")
    assert not any("level" in name for name in found.overall)
    assert [group.by for group in found.groups] == ["all", "grade", "grade", "type"]


def test_a_difference_is_paired(made_maps: Callable[..., Path], maps: Path, made_study: Path, tmp_path: Path) -> None:
    better = made_maps(tmp_path / "better", strength=0.6)
    found = evaluate(better, made_study, against=[maps, better])
    worse, same = found.comparisons
    own, other = found.overall, evaluate(maps, made_study).overall
    difference = worse.differences["all"]["voxel_average_precision"]
    assert difference.value == pytest.approx(
        own["voxel_average_precision"].value - other["voxel_average_precision"].value
    )
    assert difference.low > 0
    assert all(value == (0, 0, 0) for group in same.differences.values() for value in group.values())
    assert "level_alone_auroc" not in worse.differences["all"]


def test_comparing_needs_the_same_cases(
    made_maps: Callable[..., Path], maps: Path, made_study: Path, tmp_path: Path
) -> None:
    fewer = made_maps(tmp_path / "fewer", kept=lambda case: case.fold == "1")
    with pytest.raises(InputError, match=r"fewer: 8 case\(s\) are in one of .*maps and .*fewer only, such as p02_L1"):
        evaluate(maps, made_study, against=[fewer])


def test_a_fold_alone_is_judged_by_its_other_patients(
    made_maps: Callable[..., Path], made_study: Path, tmp_path: Path
) -> None:
    found = evaluate(made_maps(tmp_path / "one", kept=lambda case: case.fold == "1"), made_study)
    assert "normal cases of other patients, as the maps are of one fold" in as_table(found)


def flagged(maps: Path, folder: Path, flag: Callable[[dict[str, str]], str]) -> Path:
    """The same maps with a column ``flagged``."""
    shutil.copytree(maps, folder)
    with (maps / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], "flagged"])
        writer.writeheader()
        writer.writerows({**row, "flagged": flag(row)} for row in rows)
    return folder


def test_what_a_calibration_flagged_is_measured(
    maps: Path, made_study: Path, made_cohort: Cohort, tmp_path: Path
) -> None:
    called = {"p01_L1", "p01_L2", "p02_L1"}
    found = evaluate(flagged(maps, tmp_path / "f", lambda row: str(int(row["case_id"] in called))), made_study)
    assert found.overall["sensitivity@calibrated"].value == pytest.approx(2 / 6)
    assert found.overall["specificity@calibrated"].value == pytest.approx(13 / 14)
    assert found.overall["f1@calibrated"].value == pytest.approx(4 / 9)
    assert not any("not calibrated" in note for note in found.notes)
    with pytest.raises(InputError, match="flagged of 'p00_L1' is 'maybe', not 0 or 1"):
        evaluate(flagged(maps, tmp_path / "g", lambda _: "maybe"), made_study)


def test_without_a_calibration_that_is_said(found: Evaluation) -> None:
    assert "not calibrated: nothing is said at a calibrated threshold" in found.notes
    assert not any("calibrated" in name for name in found.overall)


def test_the_table_and_the_json_say_the_same(found: Evaluation) -> None:
    table, plain = as_table(found), json.loads(json.dumps(as_json(found)))
    value = plain["groups"][0]["measures"]["auroc"]
    assert f"{value['value']:.3f}" in table
    assert f"{value['low']:.3f} to {value['high']:.3f}" in table
    assert "oracle: chosen on the truth, an upper bound" in table
    lines = [line for line in table.splitlines() if "voxel AUROC" in line]
    assert len(lines) == 1
    assert "not by itself" in lines[0]
    assert [group["by"] for group in plain["groups"]].count("level") == 2


def test_pixel_auroc_is_not_shown_without_case_auroc(maps: Path, made_study: Path) -> None:
    found = evaluate(maps, made_study)
    bare = found.groups[0]._replace(measures={"voxel_auroc": found.overall["voxel_auroc"]})
    alone = Evaluation(**{**vars(found), "groups": (bare,)})
    assert "voxel AUROC" not in as_table(alone)


def test_hold_out_cases_leave_a_record_and_the_second_time_says_so(
    cli: Callable[..., Any], made_maps: Callable[..., Path], made_study: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_study.parent, tmp_path / "study")
    table = tmp_path / "study" / "cohort.csv"
    folder = made_maps(tmp_path / "all", kept=lambda _: True)
    rows = (folder / "scores.csv").read_text(encoding="utf-8").replace(str(made_study.parent), str(table.parent))
    (folder / "scores.csv").write_text(rows, encoding="utf-8")
    first = cli("evaluate", folder, "--cohort", table)
    assert first.exit_code == 0, first.stderr
    assert "first look at this hold-out" in first.stdout
    assert "4 of the cases are of the hold-out, 20 are not" in first.stdout
    second = cli("evaluate", folder, "--cohort", table, "--out", tmp_path / "again")
    assert "look 2 at this hold-out, model 1 to look" in second.stdout
    assert "4 of 24 cases evaluated; 4 cases, model 0123456789ab" in second.stdout
    assert [look.what for look in read_looks(table)] == ["evaluate", "evaluate"]
    assert json.loads((tmp_path / "again" / "evaluation.json").read_text(encoding="utf-8"))["seed"] == 0


def test_without_hold_out_cases_there_is_no_record(found: Evaluation, made_study: Path) -> None:
    assert not looks_path(made_study).exists()


def test_a_moved_study_is_known_by_its_images(maps: Path, made_study: Path, tmp_path: Path) -> None:
    shutil.copytree(made_study.parent, tmp_path / "moved")
    moved = tmp_path / "moved" / "cohort.csv"
    with pytest.raises(InputError, match=r"case 'p00_L1' is of .*; give the cohort the maps were made of"):
        evaluate(maps, moved)
    known = tmp_path / "maps"
    shutil.copytree(maps, known)
    from fracture_vae.files import sha256

    for case in read_cohort(made_study).cases:
        (known / f"{case.case_id}.json").write_text(json.dumps({"source": {"sha256": sha256(case.image)}}))
    assert evaluate(known, moved).overall["auroc"] == evaluate(maps, made_study).overall["auroc"]


def broken(maps: Path, folder: Path) -> Path:
    shutil.copytree(maps, folder)
    return folder


def test_a_missing_map_is_told(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = broken(maps, tmp_path / "b")
    (folder / "p03_L2_error.nii.gz").unlink()
    with pytest.raises(InputError, match=r"p03_L2_error.nii.gz: no such map, though scores.csv lists its case"):
        evaluate(folder, made_study)
    with pytest.raises(InputError, match=r"p00_L1_z.nii.gz: no such map; run infer again, or evaluate another kind"):
        evaluate(maps, made_study, kind="z")


def test_a_case_left_out_of_its_fold_is_told(made_maps: Callable[..., Path], made_study: Path, tmp_path: Path) -> None:
    kept = made_maps(tmp_path / "m", kept=lambda case: case.fold != "test" and case.case_id != "p03_L1")
    assert any(
        "1 labelled case(s) of fold 2 have no score and are left out (row 8)" in n
        for n in evaluate(kept, made_study).notes
    )


def test_z_maps_are_taken_where_all_cases_have_them(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = broken(maps, tmp_path / "z")
    for path in sorted(folder.glob("*_error.nii.gz")):
        shutil.copy(path, str(path).replace("_error", "_z"))
    assert evaluate(folder, made_study).kind == "z"
    assert evaluate(folder, made_study, kind="error").kind == "error"
    (folder / "p00_L1_z.nii.gz").unlink()
    assert evaluate(folder, made_study).kind == "error"


def test_an_abnormal_case_whose_mask_is_empty_is_told(maps: Path, made_study: Path, tmp_path: Path) -> None:
    shutil.copytree(made_study.parent, tmp_path / "s")
    table = tmp_path / "s" / "cohort.csv"
    folder = broken(maps, tmp_path / "b")
    rows = (folder / "scores.csv").read_text(encoding="utf-8").replace(str(made_study.parent), str(table.parent))
    (folder / "scores.csv").write_text(rows, encoding="utf-8")
    nib.save(nib.Nifti1Image(np.zeros((12, 12, 12), np.uint8), np.eye(4)), tmp_path / "s" / "p01_L1_mask.nii.gz")
    with pytest.raises(InputError, match=r"p01_L1_mask.nii.gz: marks no voxel of an abnormal case.*\(row 4\)"):
        evaluate(folder, table)


def test_many_maps_in_processes_are_counted_as_in_one(
    maps: Path, made_study: Path, found: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fracture_vae.evaluation.tallies._WORTH_A_PROCESS", 1000)
    assert evaluate(maps, made_study).groups == found.groups
