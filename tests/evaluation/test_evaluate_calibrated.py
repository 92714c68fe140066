"""Calibrated maps against the truth: what the calibration said is measured, and only what it said."""

import csv
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.errors import InputError
from fracture_vae.evaluation.evaluate import Evaluation
from fracture_vae.evaluation.evaluate import evaluate as evaluate_with_intervals
from fracture_vae.evaluation.table import as_table
from fracture_vae.files import write_csv
from fracture_vae.maps.table import SCORE_COLUMNS

evaluate = partial(evaluate_with_intervals, resamples=200)


def calibrated(
    maps: Path, folder: Path, flag: Callable[[str], str] = lambda _: "0", threshold: float | None = 6.0
) -> Path:
    """The same maps as a calibrated model's: ten times the error map is its z, a constant less the score its score."""
    shutil.copytree(maps, folder)
    with (maps / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = row["case_id"]
        error = nib.load(folder / f"{name}_error.nii.gz")
        nib.save(nib.Nifti1Image(error.get_fdata(dtype=np.float32) * 10, error.affine), folder / f"{name}_z.nii.gz")
        row |= {"score_z": f"{1 - float(row['score'])}", "flagged": flag(name)}
        said = {"alpha": 0.1, "threshold": threshold, "healthy_patients": 8}
        (folder / f"{name}.json").write_text(json.dumps({"calibration": said}), encoding="utf-8")
    write_csv(folder / "scores.csv", SCORE_COLUMNS, rows)
    return folder


def test_what_a_calibration_said_is_measured(
    maps: Path, made_study: Path, voxels: tuple[np.ndarray, np.ndarray], found: Evaluation, tmp_path: Path
) -> None:
    called = {"p01_L1", "p01_L2", "p02_L1"}
    folder = calibrated(maps, tmp_path / "f", lambda name: str(int(name in called)))
    judged = evaluate(folder, made_study)
    assert judged.kind == "z"
    assert judged.overall["sensitivity@calibrated"].value == pytest.approx(2 / 6)
    assert judged.overall["specificity@calibrated"].value == pytest.approx(13 / 14)
    assert judged.overall["f1@calibrated"].value == pytest.approx(4 / 9)
    assert judged.overall["auroc"].value == pytest.approx(1 - found.overall["auroc"].value), "the z scores, not others"
    truth, values = voxels
    marked = values * np.float32(10) > 6
    dice = 2 * (marked & truth).sum() / (marked.sum() + truth.sum())
    assert judged.overall["dice@calibrated"].value == pytest.approx(dice)
    assert not any("not calibrated" in note for note in judged.notes)
    assert any("was set, not tested; the hold-out tests it" in note for note in judged.notes)
    assert any("8 healthy patients: too few to call any case abnormal, which takes 9" in note for note in judged.notes)


def test_a_threshold_that_nothing_exceeds_finds_nothing(maps: Path, made_study: Path, tmp_path: Path) -> None:
    found = evaluate(calibrated(maps, tmp_path / "f", threshold=None), made_study)
    assert found.overall["dice@calibrated"] == (0, 0, 0)
    assert found.overall["sensitivity@calibrated"] == (0, 0, 0)


def test_without_sidecars_no_dice_is_told_at_the_calibrated_threshold(
    maps: Path, made_study: Path, tmp_path: Path
) -> None:
    folder = calibrated(maps, tmp_path / "f")
    (folder / "p00_L1.json").unlink()
    found = evaluate(folder, made_study)
    assert "dice@calibrated" not in found.overall
    assert "not every sidecar tells the calibrated threshold: no Dice at it" in found.notes


def test_maps_as_before_calibration_are_not_judged_by_it(
    maps: Path, made_study: Path, found: Evaluation, tmp_path: Path
) -> None:
    before = evaluate(calibrated(maps, tmp_path / "f"), made_study, kind="error")
    assert before.kind == "error"
    assert before.groups == found.groups
    assert any("calibration: nothing is said at the calibrated threshold" in note for note in before.notes)


def test_a_flag_is_0_or_1(maps: Path, made_study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="flagged of 'p00_L1' is 'maybe', not 0 or 1"):
        evaluate(calibrated(maps, tmp_path / "g", lambda _: "maybe"), made_study)


def test_z_maps_are_taken_where_all_cases_have_them(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = calibrated(maps, tmp_path / "z")
    (folder / "p00_L1_z.nii.gz").unlink()
    found = evaluate(folder, made_study)
    assert found.kind == "error"
    assert any("as 1 case(s) have no z map, such as p00_L1: nothing is said" in note for note in found.notes)
    with pytest.raises(InputError, match=r"p00_L1_z.nii.gz: no such map; run infer again, or evaluate another kind"):
        evaluate(folder, made_study, kind="z")


def test_a_case_that_was_not_judged_leaves_all_uncalibrated(maps: Path, made_study: Path, tmp_path: Path) -> None:
    folder = calibrated(maps, tmp_path / "f", lambda name: "" if name == "p00_L1" else "0")
    found = evaluate(folder, made_study)
    assert found.kind == "error"
    assert any("19 of 20 cases were judged by a calibration: nothing is said" in note for note in found.notes)
    with pytest.raises(InputError, match=r"scores.csv: not every case was judged by a calibration"):
        evaluate(folder, made_study, kind="z")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", "high"), ("threshold", [6]), ("alpha", 0), ("alpha", None), ("alpha", "x"),
        ("alpha", float("nan")), ("healthy_patients", "x"), ("healthy_patients", -3),
    ],
)  # fmt: skip
def test_a_sidecar_whose_calibration_cannot_be_is_told(
    maps: Path, made_study: Path, tmp_path: Path, name: str, value: object
) -> None:
    folder = calibrated(maps, tmp_path / "f")
    said = {"alpha": 0.1, "threshold": 6.0, "healthy_patients": 8, name: value}
    (folder / "p00_L1.json").write_text(json.dumps({"calibration": said}), encoding="utf-8")
    with pytest.raises(InputError, match=rf"p00_L1.json: its calibration is damaged \({name} is .*; run infer again"):
        evaluate(folder, made_study)


def test_z_maps_minus_error_maps_are_told_as_such(maps: Path, made_study: Path, tmp_path: Path) -> None:
    table = as_table(evaluate(calibrated(maps, tmp_path / "z"), made_study, against=[maps]))
    assert f"| minus {maps} (error, not z) |" in table
    assert "give --map error, for like with like" in table
    alike = as_table(evaluate(maps, made_study, against=[maps]))
    assert f"| minus {maps} |" in alike
    assert "like with like" not in alike


def test_without_a_calibration_that_is_said(found: Evaluation) -> None:
    assert "not calibrated: nothing is said at a calibrated threshold" in found.notes
    assert not any("calibrated" in name for name in found.overall)


@pytest.mark.parametrize("column", ["score_z", "p_value", "p_case", "flagged"])
def test_what_a_calibration_said_is_not_another_s_in_the_table(
    maps: Path, made_study: Path, tmp_path: Path, column: str
) -> None:
    folder = shutil.copytree(maps, tmp_path / "edited")
    judged = {"score_z": 1.5, "p_value": 0.25, "p_case": 0.125, "flagged": 0}
    with (folder / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = next(row for row in rows if row["case_id"] == "p00_L1")
    said = {"calibration": {**judged, "flagged": False, "threshold": 3.0}}
    (folder / "p00_L1.json").write_text(json.dumps(said), encoding="utf-8")
    for edited in ({}, {column: 1}):
        first.update({name: str(value) for name, value in {**judged, **edited}.items()})
        write_csv(folder / "scores.csv", first, rows)
        if not edited:
            evaluate(folder, made_study, resamples=10)
    with pytest.raises(InputError, match=r"the score of 'p00_L1' is an earlier inference's than its maps"):
        evaluate(folder, made_study)
