"""Maps against the truth, whole: figures by other programs, what is refused, what is told."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from fracture_vae.cohort.case import pseudonym
from fracture_vae.cohort.manifest import Case, Cohort, read_cohort, write_cohort
from fracture_vae.errors import InputError
from fracture_vae.evaluation.evaluate import Evaluation
from fracture_vae.evaluation.evaluate import evaluate as evaluate_with_intervals
from fracture_vae.evaluation.picture import draw_curves
from fracture_vae.evaluation.table import as_json, as_table

evaluate = partial(evaluate_with_intervals, resamples=200)


def cases_of(cohort: Cohort) -> list[Case]:
    return [case for case in cohort.cases if case.fold != "test"]


def scores_of(maps: Path) -> dict[str, float]:
    with (maps / "scores.csv").open(encoding="utf-8") as file:
        return {row["case_id"]: float(row["score"]) for row in csv.DictReader(file)}


def test_case_figures_are_scikit_learn_s(found: Evaluation, maps: Path, made_cohort: Cohort) -> None:
    cases, scores = cases_of(made_cohort), scores_of(maps)
    labels, values = [case.label for case in cases], [scores[case.case_id] for case in cases]
    assert found.overall["auroc"].value == pytest.approx(roc_auc_score(labels, values))
    assert found.overall["average_precision"].value == pytest.approx(average_precision_score(labels, values))
    everything = found.groups[0]
    assert (everything.normal, everything.abnormal, everything.patients) == (14, 6, 10)


def test_voxel_figures_are_scikit_learn_s_within_the_bins(
    found: Evaluation, voxels: tuple[np.ndarray, np.ndarray]
) -> None:
    truth, values = voxels
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


def test_the_areas_under_the_drawn_curves_are_those_told(found: Evaluation) -> None:
    for name, measure in (("roc", "auroc"), ("level_alone_roc", "level_alone_auroc")):
        line = found.lines[name]
        assert auc(line.x, line.y) == pytest.approx(found.overall[measure].value), name
    pro = found.lines["pro"]
    rates = np.linspace(0, 0.3, 3001)
    area = auc(rates, np.interp(rates, pro.x, pro.y)) / 0.3
    assert area == pytest.approx(found.overall["aupro"].value, abs=2e-3), "400 points of the curve are drawn"
    froc = found.lines["froc"]
    hits = [froc.y[froc.x <= rate].max() for rate in (0.25, 0.5, 1, 2, 4, 8)]
    assert np.mean(hits) == pytest.approx(found.overall["froc"].value, abs=0.02)


def test_without_masks_cases_alone_are_compared_and_drawn(maps: Path, made_cohort: Cohort, tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort.csv", [Case(**{**vars(case), "mask": None}) for case in made_cohort.cases])
    bare = evaluate(maps, tmp_path / "cohort.csv")
    assert "no case has a mask: voxels are not compared" in bare.notes
    assert not {"voxel_average_precision", "voxel_auroc", "aupro", "froc"} & bare.overall.keys()
    assert as_table(bare).startswith("# Evaluation of error scores in")
    height, width, _ = imread(draw_curves(bare, tmp_path)).shape
    assert 1.5 < width / height < 2.5, "two panels"


def test_groups_are_levels_grades_and_types(found: Evaluation) -> None:
    groups = {group.title: group for group in found.groups}
    assert list(groups) == ["all", "level L1", "level L2", "grade 1", "grade 2", "type wedge"]
    assert (groups["level L1"].normal, groups["level L1"].abnormal) == (9, 1)
    assert (groups["grade 2"].normal, groups["grade 2"].abnormal) == (14, 2), "against all normals"
    # within levels: pairs of L1 and pairs of L2
    l1, l2 = groups["level L1"].measures["auroc"].value, groups["level L2"].measures["auroc"].value
    assert found.overall["within_level_auroc"].value == pytest.approx((9 * l1 + 25 * l2) / 34)


def test_a_broken_neighbour_in_a_normal_crop_is_of_no_grade(
    maps: Path, made_study: Path, made_cohort: Cohort, found: Evaluation, tmp_path: Path
) -> None:
    shown = made_study.parent / "p01_L1_mask.nii.gz"
    rows = [
        Case(**{**vars(case), "mask": shown} if case.case_id == "p00_L1" else vars(case)) for case in made_cohort.cases
    ]
    write_cohort(tmp_path / "cohort.csv", rows)
    neighbour = evaluate(maps, tmp_path / "cohort.csv")
    before, after = ({group.title: group for group in one.groups} for one in (found, neighbour))
    assert after["all"].regions == before["all"].regions + 2, "it is an anomaly all the same"
    assert (after["grade 2"].regions, after["grade 2"].mapped) == (4, before["grade 2"].mapped - 1)
    assert after["grade 2"].normal == 14
    assert after["grade 2"].measures["auroc"] == before["grade 2"].measures["auroc"]


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


def test_maps_that_say_nothing_score_as_such(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(maps, tmp_path / "level")
    for map_ in folder.glob("*_error.nii.gz"):
        nib.save(nib.Nifti1Image(np.ones((12, 12, 12), np.float32), nib.load(map_).affine), map_)
    found = evaluate(folder, made_study)
    assert found.overall["froc"] == (0, 0, 0)
    assert found.overall["voxel_auroc"].value == 0.5
    assert found.overall["aupro"].value == pytest.approx(0.15)
    assert found.overall["voxel_average_precision"].value == pytest.approx(found.groups[0].anomalous)
    assert imread(draw_curves(found, tmp_path)).std() > 0


def test_cases_of_patients_a_model_was_trained_on_are_told(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(maps, tmp_path / "seen")
    said = {"model": {"trained_on": [pseudonym("p00"), pseudonym("p01")]}}
    for name in ("p00_L1", "p02_L1"):
        (folder / f"{name}.json").write_text(json.dumps(said), encoding="utf-8")
    assert any(
        note.startswith("1 of the cases are of patients that their model was trained on (row 2)")
        for note in evaluate(folder, made_study).notes
    )


def test_intervals_of_few_patients_are_marked(found: Evaluation) -> None:
    groups = {group.title: group for group in found.groups}
    assert groups["all"].fewest == 5, "of the folds' patients five have a broken vertebra"
    assert groups["level L1"].fewest == 1
    lines = as_table(found).splitlines()
    few = next(line for line in lines if line.startswith("| L1 "))
    enough = next(line for line in lines if line.startswith("| voxel average precision "))
    seen_alike = next(line for line in lines if line.startswith("| case AUROC "))
    assert few.count(")*") == few.count("(") > 0
    assert "*" not in enough
    assert "1.000 to 1.000*" in seen_alike
    assert any(line.startswith("- * fewer than 5 patients") for line in lines)


def test_models_that_are_ranked_together_are_told(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(maps, tmp_path / "m")
    text = (folder / "scores.csv").read_text(encoding="utf-8")
    (folder / "scores.csv").write_text(text.replace("0123456789ab", "ba9876543210", 1), encoding="utf-8")
    assert any(note.startswith("scores of 2 models are ranked together") for note in evaluate(folder, made_study).notes)


def test_means_over_models_beside_single_ones_are_told(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(maps, tmp_path / "means")
    names = [path.name.removesuffix("_error.nii.gz") for path in folder.glob("*_error.nii.gz")]

    def told(of: Sequence[str]) -> list[str]:
        for name in of:
            (folder / f"{name}.json").write_text(json.dumps({"model": {"ensemble": [{"fold": 1}]}}), encoding="utf-8")
        return [note for note in evaluate(folder, made_study, resamples=10).notes if "means over several" in note]

    assert told([]) == []
    (note,) = told(names[:3])
    assert note.startswith("3 of the cases were scored by means over several models, the others by one")
    assert told(names) == []


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


@pytest.mark.parametrize(
    "said",
    [{"model": {"sha256": "ba9876543210" + "0" * 52}}, {"scores": {"l1_top": 77.0, "top_fraction": 0.005}}],
)
def test_a_score_of_another_inference_than_its_maps_is_refused(
    maps: Path, made_study: Path, tmp_path: Path, said: dict[str, Any]
) -> None:
    """As one leaves them that was stopped while it replaced maps."""
    folder = shutil.copytree(maps, tmp_path / "stopped")
    with (folder / "scores.csv").open(encoding="utf-8") as file:
        scores = {row["case_id"]: float(row["score"]) for row in csv.DictReader(file)}
    own = {"model": {"sha256": "0123456789ab" + "0" * 52}, "scores": {"l1_top": scores["p00_L1"], "top_fraction": 1}}
    (folder / "p00_L1.json").write_text(json.dumps(own), encoding="utf-8")
    evaluate(folder, made_study, resamples=10)
    (folder / "p00_L1.json").write_text(json.dumps({**own, **said}), encoding="utf-8")
    with pytest.raises(InputError, match=r"scores\.csv: the score of 'p00_L1' is an earlier inference's than its maps"):
        evaluate(folder, made_study)


def test_a_missing_map_is_told(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(maps, tmp_path / "b")
    (folder / "p03_L2_error.nii.gz").unlink()
    with pytest.raises(InputError, match=r"p03_L2_error.nii.gz: no such map, though scores.csv lists its case"):
        evaluate(folder, made_study)


def test_a_case_left_out_of_its_fold_is_told(made_maps: Callable[..., Path], made_study: Path, tmp_path: Path) -> None:
    kept = made_maps(tmp_path / "m", kept=lambda case: case.fold != "test" and case.case_id != "p03_L1")
    assert any(
        "1 labelled case(s) of fold 2 have no score and are left out (row 8)" in n
        for n in evaluate(kept, made_study).notes
    )


def test_an_abnormal_case_whose_mask_is_empty_is_told(maps: Path, made_study: Path, tmp_path: Path) -> None:
    shutil.copytree(made_study.parent, tmp_path / "s")
    table = tmp_path / "s" / "cohort.csv"
    folder = shutil.copytree(maps, tmp_path / "b")
    rows = (folder / "scores.csv").read_text(encoding="utf-8").replace(str(made_study.parent), str(table.parent))
    (folder / "scores.csv").write_text(rows, encoding="utf-8")
    nib.save(
        nib.Nifti1Image(np.zeros((12, 12, 12), np.uint8), np.diag([2.0, 2, 2, 1])),
        tmp_path / "s" / "p01_L1_mask.nii.gz",
    )
    with pytest.raises(InputError, match=r"p01_L1_mask.nii.gz: marks no voxel of an abnormal case.*\(row 4\)"):
        evaluate(folder, table)


def test_many_maps_in_processes_are_counted_as_in_one(
    maps: Path, made_study: Path, found: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fracture_vae.evaluation.tallies._WORTH_A_PROCESS", 1000)
    assert evaluate(maps, made_study).groups == found.groups
