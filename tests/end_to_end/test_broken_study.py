"""Real CTs, half of their vertebrae broken, from prepare to error maps, by the commands a user types."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort import read_cohort
from tests.end_to_end.test_real_ct import BUNDLE, SMALL, command


@pytest.fixture(scope="module")
def broken(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both CTs with half of their whole vertebrae broken, as sets in VerSe's form."""
    folder = tmp_path_factory.mktemp("broken")
    verse, trunk = real_data / "ct_verse014", real_data / "ct_totalsegmentator"
    share = ("--share", 0.5, "--seed", 1, "--out", folder)
    command(
        "fracture",
        "--ct", verse / "sub-verse014_ct.nii.gz",
        "--mask", verse / "sub-verse014_seg-vert_msk.nii.gz",
        *share,
    )  # fmt: skip
    command(
        "fracture",
        "--ct", trunk / "example_ct.nii.gz",
        "--mask", trunk / "spine_totalseg.nii.gz",
        "--labels", "totalsegmentator",
        *share,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def study(broken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study prepared from them, in two folds, checked."""
    folder = tmp_path_factory.mktemp("study") / "out"
    command(
        "prepare", broken, "--out", folder, "--labels-csv", broken / "labels.csv",
        "--size", 32, "--spacing", 4, "--jobs", 1,
    )  # fmt: skip
    command("cohort", "split", folder / "cohort.csv", "--folds", 2)
    return folder


def test_half_of_the_whole_vertebrae_are_broken_and_the_study_knows_which(broken: Path, study: Path) -> None:
    with (broken / "labels.csv").open(newline="", encoding="utf-8") as file:
        known = {(row["patient_id"], row["level"]): row for row in csv.DictReader(file)}
    cases = read_cohort(study / "cohort.csv").cases
    abnormal = [case for case in cases if case.label == 1]
    assert len(abnormal) == 6, "three of the five whole vertebrae of each CT"
    for case in cases:
        row = known[(case.patient_id, case.level)]
        assert str(case.label) == row["label"]
        assert str(case.genant_grade or 0) == (row["genant_grade"] or "0")
    for case in abnormal:
        assert case.box is not None
        assert case.mask is not None
        truth = np.asarray(nib.load(case.mask).dataobj) > 0
        assert truth[case.box.slices].any()
        lower, upper = case.extra["slices"].split(":")
        assert (int(lower), int(upper)) == (case.box.lower[2], case.box.upper[2])


def test_the_study_is_checked_and_its_quality_page_tells_of_the_cut_vertebrae(study: Path) -> None:
    told = command("cohort", "check", study / "cohort.csv").output
    assert "normals to train on" in told.lower()
    with (study / "quality.csv").open(newline="", encoding="utf-8") as file:
        cut = {row["level"] for row in csv.DictReader(file) if row["kind"] == "cut by the field of view"}
    assert {"T11", "T12"} <= cut
    assert "cut by the field of view" in (study / "quality.html").read_text(encoding="utf-8")


def test_it_trains_on_the_whole_and_scores_the_broken(study: Path) -> None:
    cohort = study / "cohort.csv"
    settings = [part for setting in SMALL for part in ("--set", setting)]
    command("train", BUNDLE, "--cohort", cohort, "--fold", "all", "--project-dir", study / "runs", *settings)
    out = study / "maps"
    command(
        "infer", "--model", study / "runs" / "vq3d" / "latest", "--cohort", cohort, "--output", out, "--in-source",
    )  # fmt: skip
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["case_id"]: row for row in csv.DictReader(file)}
    cases = read_cohort(cohort).cases
    assert rows.keys() == {case.case_id for case in cases}
    for case in cases:
        sidecar = json.loads((out / f"{case.case_id}.json").read_text(encoding="utf-8"))
        assert str(sidecar["model"]["fold"]) == case.fold, "scored by the model that has not seen its patient"
        assert rows[case.case_id]["label"] == str(case.label)
    assert len(list(out.glob("*_ct_error.nii.gz"))) == 2, "one map on each CT's own grid"
    command("sheet", out, "--cohort", cohort)
    assert (out / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
