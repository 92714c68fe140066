"""A cohort round-trips through its table, hands out the right cases, and names the rows of every mistake."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.manifest import Box, Case, check_content, read_cohort, write_cohort
from fracture_vae.errors import InputError

HEADER = "case_id,patient_id,label,fold,image"
STUDY = [
    "a1,A,0,1,a1.npy",
    "a2,A,1,1,a2.npy",
    "b1,B,0,2,b1.npy",
    "c1,C,0,3,c1.npy",
    "t1,T,0,test,t1.npy",
    "u,U,0,,u.npy",
]


def study(folder: Path, rows: list[str] = STUDY, header: str = HEADER) -> Path:
    """Write a table and, for every image it names, a file of its own content."""
    place = header.split(",").index("image")
    for row in rows:
        name = row.split(",")[place]
        (folder / name).write_bytes(name.encode())
    table = folder / "cohort.csv"
    table.write_text("\n".join([header, *rows]) + "\n")
    return table


def ids(cases) -> list[str]:
    return [case.case_id for case in cases]


def test_training_takes_normals_of_other_folds_and_never_the_holdout(tmp_path):
    cohort = read_cohort(study(tmp_path))
    assert cohort.folds == (1, 2, 3)
    assert ids(cohort.training(1)) == ["b1", "c1"]
    assert ids(cohort.validation(1)) == ["a1"]
    assert ids(cohort.training(2)) == ["a1", "c1"]
    assert ids(cohort.holdout()) == ["t1"]
    assert [case.row for case in cohort.cases] == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("rows", "fold", "said"),
    [
        (STUDY, 7, "no row has fold 7; there are 1, 2, 3"),
        (STUDY, "test", r"hold-out cases \(row 6\) never train"),
        (["a,A,0,,a.npy"], 1, "no row has a fold"),
        (["a,A,1,1,a.npy", "b,B,0,2,b.npy"], 1, "fold 1 holds no normal case"),
    ],
)
def test_a_fold_that_cannot_validate_is_told(tmp_path, rows, fold, said):
    with pytest.raises(InputError, match=said):
        read_cohort(study(tmp_path, rows)).validation(fold)


def test_nothing_to_train_on_is_told(tmp_path):
    cohort = read_cohort(study(tmp_path, ["a,A,0,1,a.npy", "t,T,0,test,t.npy", "b,B,1,2,b.npy"]))
    with pytest.raises(InputError, match=r"no normal case .* outside fold 1"):
        cohort.training(1)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a,A,0,1,a.npy", "b,A,0,2,b.npy"], "rows 2, 3 put patient 'A' in folds 1 and 2"),
        (["a,A,0,1,a.npy", "b,A,0,test,b.npy"], "rows 2, 3 put patient 'A' in folds 1 and test"),
        (["a,A,0,1,a.npy", "b,B,0,1,b.npy", "a,A,0,1,c.npy"], "rows 2, 4 have the same case_id"),
        (["a,A,0,1,a.npy", "b,B,0,1,./a.npy"], "rows 2, 3 name the same image"),
        (["é,A,0,1,a.npy", "E\u0301,B,0,2,b.npy"], "rows 2, 3 have case_ids that differ only in upper and lower case"),
        (["a,A,2,1,a.npy"], "row 2: label is '2'; it must be 0"),
        (["a,A,0,x,a.npy"], "row 2: fold is 'x'"),
        (["a,A,0,0,a.npy"], "row 2: fold is '0'"),
        (["a,A,0,-1,a.npy"], "row 2: fold is '-1'"),
        (["a,,0,1,a.npy"], "row 2: 'patient_id' is empty"),
        (["a/b,A,0,1,a.npy"], "cannot be a file name"),
        (["a,A,0,1,a.npy,9"], "row 2 has 6 fields, the header 5"),
        ([], "no rows"),
    ],
)
def test_a_mistake_in_the_table_names_the_file_and_the_rows(tmp_path, rows, said):
    with pytest.raises(InputError, match=said) as caught:
        read_cohort(study(tmp_path, rows))
    assert str(tmp_path / "cohort.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("genant_grade", "4", "genant_grade is '4'"),
        ("box", "0:1;0:1;0:1", "it must be i0:i1,j0:j1,k0:k1"),
        ("box", "5:2 0:1 0:1", "box is"),
        ("mask", "gone.nii.gz", "mask 'gone.nii.gz' does not exist"),
        ("vertebra_mask", "gone.nii.gz", "vertebra_mask 'gone.nii.gz' does not exist"),
    ],
)
def test_a_bad_value_in_an_optional_column_is_told(tmp_path, column, value, said):
    with pytest.raises(InputError, match=said):
        read_cohort(study(tmp_path, [f"a,A,0,1,a.npy,{value}"], f"{HEADER},{column}"))


def test_a_box_ends_above_its_start(tmp_path):
    with pytest.raises(InputError, match="each end above its start"):
        read_cohort(study(tmp_path, ['a,A,0,1,a.npy,"4:4,0:1,0:1"'], f"{HEADER},box"))


def test_a_missing_image_is_told(tmp_path):
    table = study(tmp_path)
    (tmp_path / "b1.npy").unlink()
    with pytest.raises(InputError, match=r"row 4: image 'b1\.npy' does not exist"):
        read_cohort(table)


@pytest.mark.parametrize("header", ["case_id,patient_id,label,fold,img", "case_id,patient_id,labels,fold,image"])
def test_a_missing_column_is_told_with_the_nearest(tmp_path, header):
    (tmp_path / "cohort.csv").write_text(header + "\na,A,0,1,a.npy\n")
    with pytest.raises(InputError, match=r"no column .* did you mean"):
        read_cohort(tmp_path / "cohort.csv")


def test_a_column_named_twice_is_told(tmp_path):
    (tmp_path / "cohort.csv").write_text(f"{HEADER},fold\n")
    with pytest.raises(InputError, match="column 'fold' appears twice"):
        read_cohort(tmp_path / "cohort.csv")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04\xff\xfe\x00", "case_id\xe9".encode("latin-1"), b'"a\nb'])
def test_what_is_no_table_is_told(tmp_path, content):
    (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"cohort\.csv"):
        read_cohort(tmp_path / "cohort.csv")


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_cohort(tmp_path / "cohort.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_spreadsheets_own_csv_is_read(tmp_path, separator):
    table = study(tmp_path)
    text = table.read_text().replace(",", separator).replace("\n", "\r\n").replace("0\r", "0.0\r")
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert ids(read_cohort(table).training(1)) == ["b1", "c1"]


def test_integers_a_dataframe_made_floats_are_read(tmp_path):
    case = read_cohort(study(tmp_path, ["a,A,1.0,2.0,a.npy"])).cases[0]
    assert (case.label, case.fold) == (1, "2")


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
CASES = st.builds(
    lambda number, level, label, fold, box, grade, extra: Case(
        case_id=f"case{number}",
        patient_id=f"patient{number}",
        level=level,
        label=label,
        fold=fold,
        image=Path(f"{number}.npy"),
        box=box,
        genant_grade=grade,
        crop='{"a":[1,2.5],"b":"x, y"}',
        extra={"note": extra},
    ),
    number=st.integers(0, 9),
    level=st.sampled_from(["", "T4", "L5"]),
    label=st.sampled_from([0, 1, None]),
    fold=st.sampled_from(["", "1", "2", "test"]),
    box=st.none() | st.builds(lambda a: Box(a, (a[0] + 1, a[1] + 2, a[2] + 3)), st.tuples(*[st.integers(0, 99)] * 3)),
    grade=st.none() | st.integers(0, 3),
    extra=TEXT | st.just('a "quoted", two\nlines'),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases=st.lists(CASES, min_size=1, unique_by=lambda case: case.case_id))
def test_a_table_comes_back_as_it_was_written(tmp_path, cases):
    for case in cases:
        (tmp_path / case.image).touch()
    cases = [replace(case, image=tmp_path / case.image) for case in cases]
    write_cohort(tmp_path / "cohort.csv", cases)
    assert read_cohort(tmp_path / "cohort.csv").cases == tuple(cases)


def test_paths_are_relative_to_the_table(tmp_path):
    image, scan = tmp_path / "data" / "a.npy", tmp_path / "scans" / "ct.nii.gz"
    image.parent.mkdir()
    image.touch()
    write_cohort(
        tmp_path / "study" / "cohort.csv",
        [Case(case_id="a", patient_id="A", image=image, mask=image, vertebra_mask=image, source_image=scan)],
    )
    text = (tmp_path / "study" / "cohort.csv").read_text()
    assert text.count("../data/a.npy") == 3
    assert str(tmp_path) not in text
    case = read_cohort(tmp_path / "study" / "cohort.csv").cases[0]
    assert (case.image, case.mask, case.vertebra_mask, case.source_image) == (image, image, image, scan)


def test_a_box_is_an_index_into_the_array():
    box = Box((1, 0, 2), (3, 1, 4))
    assert str(box) == "1:3,0:1,2:4"
    assert np.zeros((5, 5, 5))[box.slices].shape == (2, 1, 2)


@pytest.mark.parametrize("zipped", [False, True])
def test_one_image_under_two_names_is_told(tmp_path, zipped):
    table = study(tmp_path, ["a,A,0,1,a.nii.gz", "b,B,0,2,b.nii.gz", "c,C,0,2,c.npy"])
    for name, level in (("a.nii.gz", 1), ("b.nii.gz", 9 if zipped else 1)):
        (tmp_path / name).write_bytes(gzip.compress(b"same voxels" * 9, level, mtime=level))
    with pytest.raises(InputError, match="rows 2, 3 hold the same image"):
        check_content(read_cohort(table))


def test_different_images_pass_the_content_check(tmp_path):
    check_content(read_cohort(study(tmp_path)))


def test_a_link_to_an_image_is_the_same_image(tmp_path):
    table = study(tmp_path, ["a,A,0,1,a.npy", "b,B,0,2,b.npy"])
    (tmp_path / "b.npy").unlink()
    (tmp_path / "b.npy").symlink_to(tmp_path / "a.npy")
    with pytest.raises(InputError, match="rows 2, 3 name the same image"):
        read_cohort(table)
