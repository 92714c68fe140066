"""Any folder of volumes becomes a cohort; what is ambiguous is told."""

from pathlib import Path

import pytest

from fracture_vae.cohort.folder import cohort_from_folder
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.errors import InputError


def volumes(folder: Path, *names: str) -> Path:
    for name in names or [f"v{number}.npy" for number in range(6)]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_every_volume_is_a_normal_case_in_a_fold(tmp_path):
    cohort = read_cohort(cohort_from_folder(volumes(tmp_path, "a.nii.gz", "x/b.nii", "x/y/c.npy", "note.txt"), k=3))
    assert sorted(case.case_id for case in cohort.cases) == ["a", "b", "c"]
    assert {case.label for case in cohort.cases} == {0}
    assert cohort.folds == (1, 2, 3)
    assert [case.patient_id for case in cohort.cases] == [case.case_id for case in cohort.cases]


def test_masks_are_passed_over_and_not_taken_for_truth_unasked(tmp_path):
    volumes(tmp_path, "images/a.npy", "images/b.npy", "labels/a.npy", "labels/b.npy", "a_label.npy", "b_seg.nii.gz")
    cohort = read_cohort(cohort_from_folder(tmp_path, k=2))
    assert [case.image.parent.name for case in cohort.cases] == ["images", "images"]
    assert [case.mask for case in cohort.cases] == [None, None]


def test_masks_asked_for_are_truth(tmp_path):
    volumes(tmp_path, "images/a.npy", "images/b.npy", "truth/a.npy")
    cohort = read_cohort(cohort_from_folder(tmp_path, k=2, masks=tmp_path / "truth"))
    assert [case.mask for case in cohort.cases] == [tmp_path / "truth" / "a.npy", None]


def test_labels_tell_label_patient_fold_and_keep_other_columns(tmp_path):
    volumes(tmp_path)
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "image,label,patient_id,fold,scanner\n"
        "v0.npy,0,P,test,x\nsub/v1.npy,1,Q,,y\nv2.npy,0,Q,,z\nv3.npy,0,R,,\nv4.npy,0,,,\n"
    )
    cohort = read_cohort(cohort_from_folder(tmp_path, labels, k=2))
    told = {case.case_id: case for case in cohort.cases}
    assert (told["v0"].fold, told["v0"].extra["scanner"]) == ("test", "x")
    assert (told["v1"].label, told["v1"].patient_id) == (1, "Q")
    assert told["v1"].fold == told["v2"].fold
    assert told["v4"].patient_id == "v4"
    assert told["v5"].label is None


def test_labels_by_case_id(tmp_path):
    volumes(tmp_path)
    (tmp_path / "l.csv").write_text("case_id,label\nv0,1\n" + "".join(f"v{n},0\n" for n in range(1, 6)))
    cohort = read_cohort(cohort_from_folder(tmp_path, tmp_path / "l.csv", k=2, out=tmp_path / "study" / "c.csv"))
    assert {case.case_id for case in cohort.cases if case.label == 1} == {"v0"}
    assert cohort.cases[0].image == tmp_path / "v0.npy"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("case_id,label\nv9,0\n", r"row 2 names 'v9', which is no volume there; did you mean"),
        ("case_id,label\nv1,0\nv1,1\n", "rows 2 and 3 both name 'v1'"),
        ("case_id,label\nv1,7\n", "row 2: label is '7'"),
        ("case_id,label\n,0\n", "row 2 names neither"),
        ("case_id,lable\nv1,0\n", "no column 'label'; did you mean 'lable'"),
        ("case_id,label,patient_id,fold\nv1,0,P,1\nv2,0,P,2\n", "rows 2, 3 put patient 'P' in folds 1 and 2"),
    ],
)
def test_a_mistake_in_the_labels_names_its_row_and_writes_nothing(tmp_path, labels, said):
    volumes(tmp_path)
    (tmp_path / "l.csv").write_text(labels)
    with pytest.raises(InputError, match=said):
        cohort_from_folder(tmp_path, tmp_path / "l.csv")
    assert not (tmp_path / "cohort.csv").exists()


def test_two_files_of_one_stem_are_told(tmp_path):
    volumes(tmp_path, "x/a.npy", "y/a.nii.gz")
    with pytest.raises(InputError, match="both make the case 'a'"):
        cohort_from_folder(tmp_path)


def test_a_loop_of_links_is_told(tmp_path):
    volumes(tmp_path, "x/a.npy")
    (tmp_path / "x" / "back").symlink_to(tmp_path)
    with pytest.raises(InputError, match="link back to a folder above"):
        cohort_from_folder(tmp_path)


def test_a_link_to_itself_is_passed_over(tmp_path):
    volumes(tmp_path, "a.npy", "b.npy")
    (tmp_path / "self.npy").symlink_to(tmp_path / "self.npy")
    assert len(read_cohort(cohort_from_folder(tmp_path, k=2)).cases) == 2


def test_a_table_already_there_is_never_overwritten(tmp_path):
    volumes(tmp_path)
    (tmp_path / "cohort.csv").write_text("precious")
    with pytest.raises(InputError, match="is there already"):
        cohort_from_folder(tmp_path)
    assert (tmp_path / "cohort.csv").read_text() == "precious"


def test_nothing_to_find_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no volumes"):
        cohort_from_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        cohort_from_folder(tmp_path / "nowhere")
    volumes(tmp_path)
    with pytest.raises(InputError, match="no mask there is named"):
        cohort_from_folder(tmp_path, masks=volumes(tmp_path / "masks", "other.npy"))
    with pytest.raises(InputError, match="cannot fill k=9"):
        cohort_from_folder(tmp_path, k=9)
