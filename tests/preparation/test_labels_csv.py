"""Readers' labels meet their vertebrae, and a row that cannot be right is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from fracture_vae.cohort.case import Box, Case
from fracture_vae.errors import InputError
from fracture_vae.preparation.kinds import AGAINST_TRUTH, NO_CROP
from fracture_vae.preparation.labels_csv import check_patients, join_labels, read_labels

CASES = [
    Case(case_id=f"{scan}_{level}", patient_id="sub-a", image=Path("x.nii.gz"), level=level, label=None, fold="2")
    for scan in ("sub-a_1", "sub-a_2")
    for level in ("L1", "L2")
]


def table(tmp_path, *lines):
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_grade_makes_the_label_and_every_scan_of_the_patient_gets_it(tmp_path):
    path = table(tmp_path, "patient_id,level,genant_grade,genant_type,reader", "sub-a,L1,2,wedge,x", " sub-a ,L2,0,,x")
    joined = join_labels(CASES, read_labels(path))
    assert [(c.label, c.genant_grade, c.genant_type, c.fold) for c in joined.cases] == [
        (1, 2, "wedge", "2"),
        (0, 0, "", "2"),
    ] * 2
    assert joined.findings == []


def test_a_case_id_is_about_one_crop_and_comes_first(tmp_path):
    path = table(tmp_path, "patient_id,level,case_id,label", "sub-a,L1,,0", ",,sub-a_2_L1,1")
    assert [c.label for c in join_labels(CASES, read_labels(path)).cases] == [0, None, 1, None]


def test_an_empty_value_changes_nothing(tmp_path):
    path = table(tmp_path, "patient_id,level,genant_grade,label", "sub-a,L1,,")
    assert join_labels(CASES, read_labels(path)).cases == CASES


def test_a_level_that_no_scan_shows_is_a_finding(tmp_path):
    joined = join_labels(CASES, read_labels(table(tmp_path, "patient_id;level;label", "sub-a;T4;1", "sub-a;L1;0")))
    (finding,) = joined.findings
    assert (finding.patient_id, finding.level, finding.kind) == ("sub-a", "T4", NO_CROP)
    assert "row 2" in finding.detail


def test_a_label_against_the_voxel_truth_is_told(tmp_path):
    box = Box((0, 0, 0), (1, 1, 1))
    cases = [replace(CASES[0], mask=Path("truth.nii.gz"), label=1, box=box, extra={"slices": "0:1", "note": "x"})]
    joined = join_labels(cases, read_labels(table(tmp_path, "patient_id,level,label", "sub-a,L1,0")))
    assert (joined.cases[0].label, joined.cases[0].box, joined.cases[0].extra) == (0, None, {"note": "x"})
    (finding,) = joined.findings
    assert (finding.kind, finding.scan) == (AGAINST_TRUTH, "sub-a_1_L1")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["patient_id,level,genant_grade,label", "sub-a,L1,2,0"], "row 2: label 0 contradicts genant_grade 2"),
        (["patient_id,level,genant_grade,label", "sub-a,L1,0,1"], "row 2: label 1 contradicts genant_grade 0"),
        (
            ["patient_id,level,label", "sub-a,L1,0", "sub-b,L1,0", "sub-a,L1,0"],
            "row 2 and row 4 are both about sub-a L1",
        ),
        (["patient_id,level,label", "sub-a,L7,0"], "row 2: level 'L7' is unknown; did you mean '"),
        (["patient_id,level,label", "sub-a,l1,0"], "row 2: level 'l1' is unknown; did you mean 'L1'"),
        (["patient_id,level,genant_grade", "sub-a,L1,4"], "row 2: genant_grade is '4'; it must be 0 to 3"),
        (["patient_id,level,label", "sub-a,L1,yes"], "row 2: label is 'yes'"),
        (["patient_id,level,genant_grade,genant_type", "sub-a,L1,0,wedge"], "'wedge' of a normal vertebra"),
        (["patient_id,level,label", "sub-a,,0"], "row 2: does not say which vertebra"),
        (["patient,level,label", "sub-a,L1,0"], "no column 'patient_id'; did you mean 'patient'"),
        (["patient_id,level,grade", "sub-a,L1,0"], "no column 'genant_grade' or 'label'; did you mean 'grade'"),
    ],
)
def test_a_row_that_cannot_be_right_is_named(tmp_path, lines, said):
    with pytest.raises(InputError, match=said) as caught:
        read_labels(table(tmp_path, *lines))
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["SUB-A", "sub- a", "sub-aa"])
def test_a_patient_written_otherwise_is_told_the_nearest(tmp_path, given):
    readings = read_labels(table(tmp_path, "patient_id,level,label", f"{given},L1,0"))
    with pytest.raises(InputError, match=rf"row 2: no scan is of patient '{given}'; did you mean 'sub-a'\?"):
        check_patients(readings, ["sub-a", "other"])


def test_a_case_id_of_no_crop_is_told_the_nearest(tmp_path):
    readings = read_labels(table(tmp_path, "case_id,label", "sub-a_1_L3,0"))
    with pytest.raises(InputError, match="row 2: no crop is called 'sub-a_1_L3'; did you mean 'sub-a_1_L"):
        join_labels(CASES, readings)
