"""A cohort goes to MONAI's datalist and comes back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from monai.data import load_decathlon_datalist

from fracture_vae.cohort.datalist import from_datalist, to_datalist
from fracture_vae.cohort.manifest import Box, Case, Cohort
from fracture_vae.errors import InputError


def cohort(folder: Path) -> Cohort:
    cases = []
    for number, (label, fold) in enumerate([(0, "1"), (1, "2"), (None, ""), (0, "test")]):
        image = folder / f"{number}.npy"
        image.touch()
        cases.append(
            Case(
                case_id=f"c{number}",
                patient_id=f"p{number}",
                image=image,
                label=label,
                fold=fold,
                level="L1",
                box=Box((0, 0, 0), (1, 2, 3)),
                genant_grade=number,
                mask=image if number else None,
                extra={"note": "x"},
            )
        )
    return Cohort(folder / "cohort.csv", tuple(cases))


def write(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_cohort_comes_back_from_its_datalist(tmp_path):
    study = cohort(tmp_path)
    back = from_datalist(write(tmp_path / "list.json", to_datalist(study)))
    assert {case.case_id: case for case in back} == {case.case_id: case for case in study.cases}


def test_monai_reads_it_with_whole_paths_and_folds_from_zero(tmp_path):
    path = write(tmp_path / "list.json", to_datalist(cohort(tmp_path)))
    training = load_decathlon_datalist(path, is_segmentation=False, data_list_key="training")
    assert [(item["image"], item["label"], item["fold"]) for item in training] == [
        (str(tmp_path / "0.npy"), 0, 0),
        (str(tmp_path / "1.npy"), 1, 1),
    ]
    testing = load_decathlon_datalist(path, is_segmentation=False, data_list_key="testing")
    assert [item["case_id"] for item in testing] == ["c3"]


def test_a_segmentation_datalist_brings_masks_and_bare_paths(tmp_path):
    for name in ("a.npy", "b.npy", "m.npy"):
        (tmp_path / name).touch()
    content = {"training": [{"image": "a.npy", "label": "m.npy", "fold": 0}], "testing": ["b.npy"]}
    a, b = from_datalist(write(tmp_path / "list.json", content))
    assert (a.case_id, a.patient_id, a.label, a.mask, a.fold) == ("a", "a", None, tmp_path / "m.npy", "1")
    assert (b.case_id, b.fold) == ("b", "test")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"training": [{"image": "0.npy"}], "testing": [{"image": "0.npy"}]}, "have the same case_id"),
        ({"training": [{"fold": 0}]}, r"training\[0\]: no image"),
        ({"training": [{"image": "0.npy", "fold": -1}]}, r"training\[0\]: fold is -1"),
        ({"training": [{"image": "9.npy"}]}, "does not exist"),
        ({"training": []}, "no items"),
        ({"train": []}, "no list 'training' or 'testing'"),
        ([], "no list"),
    ],
)
def test_a_mistake_names_the_item(tmp_path, content, said):
    cohort(tmp_path)
    with pytest.raises(InputError, match=said):
        from_datalist(write(tmp_path / "list.json", content))


def test_what_is_no_json_is_told(tmp_path):
    (tmp_path / "list.json").write_text("no")
    with pytest.raises(InputError, match="not a JSON file"):
        from_datalist(tmp_path / "list.json")


def test_paths_follow_the_folder_of_the_json(tmp_path):
    study = cohort(tmp_path)
    study = replace(study, cases=study.cases[:1])
    (tmp_path / "lists").mkdir()
    content = to_datalist(study, tmp_path / "lists")
    assert content["training"][0]["image"] == "../0.npy"
