"""What an inference runs over, and what a case is when it reaches the network."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.manifest import pseudonym
from fracture_vae.errors import InputError
from fracture_vae.maps.cases import CaseDataset, datalist
from fracture_vae.transforms import Preprocessing

AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["case_id"] for item in items]


def listed(
    cohort: Path, split: str = "auto", fold: int | None = None, model: dict[str, Any] | None = None
) -> list[str]:
    return ids(datalist(None, cohort, [], split, fold, model or {}))


FOLD_1 = ["p10", "p11", "p12"]


def test_the_cohort_trained_on_gives_the_cases_the_model_did_not_see(tiny_cohort: Path) -> None:
    seen = [pseudonym(patient) for patient in ("p20", "p30")]
    assert listed(tiny_cohort, model={"trained_on": seen, "fold": 1}) == FOLD_1


def test_a_patient_trained_on_is_not_passed_off_as_unseen(tiny_cohort: Path) -> None:
    model = {"trained_on": [pseudonym("p10")], "fold": 1}
    for split in ("auto", "validation"):
        with pytest.raises(InputError, match="trained on patient 'p10'"):
            listed(tiny_cohort, split, model=model)
    assert len(listed(tiny_cohort, "all", model=model)) == 10


def test_another_cohort_gives_all_its_cases(tiny_cohort: Path) -> None:
    assert len(listed(tiny_cohort, model={"trained_on": [pseudonym("somebody else")], "fold": 1})) == 10


def test_splits_are_what_they_are_called(tiny_cohort: Path) -> None:
    assert listed(tiny_cohort, "validation", 2) == ["p20", "p21", "p22"], "normal and abnormal"
    assert listed(tiny_cohort, "test") == ["ptest0"]
    assert len(listed(tiny_cohort, "all")) == 10


@pytest.mark.parametrize(
    ("split", "fold", "complaint"),
    [
        ("validation", None, "set fold"),
        ("validation", 9, "no row in split validation of fold 9"),
        ("vaildation", 1, "did you mean 'validation'"),
    ],
)
def test_splits_that_give_nothing_are_refused(tiny_cohort: Path, split: str, fold: int | None, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        listed(tiny_cohort, split, fold)


def test_a_folder_gives_its_volumes_and_single_images_come_first(tmp_path: Path, blob: Callable[..., Path]) -> None:
    for name in ("b.nii.gz", "a.npy"):
        blob(tmp_path / name)
    (tmp_path / "notes.txt").write_text("", encoding="utf-8")
    assert datalist(tmp_path, None, [], "auto", None, {}) == [
        {"image": str(tmp_path / n)} for n in ("a.npy", "b.nii.gz")
    ]
    assert datalist(None, None, ["x.npy"], "auto", None, {}) == [{"image": "x.npy"}]
    with pytest.raises(InputError, match="images and dataset_dir are given"):
        datalist(tmp_path, None, ["x.npy"], "auto", None, {})
    for empty in (None, tmp_path / "none"):
        with pytest.raises(InputError, match=r"nothing to run over|no \.nii"):
            datalist(empty, None, [], "auto", None, {})


@pytest.fixture
def crop(tmp_path: Path, blob: Callable[..., Path]) -> dict[str, Any]:
    """A case of 16³ whose crop reaches 4 voxels beyond its source, with its own mask."""
    shifted = AFFINE.copy()
    shifted[:3, 3] = (-4, 0, 0)
    rows = tuple(map(tuple, shifted.tolist()))
    source = tuple(map(tuple, AFFINE.tolist()))
    geometry = CropGeometry(20, (16, 16, 16), rows, (40, 40, 40), source, (0.0, 1900.0))
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[8, 8, 8] = 1
    nib.save(nib.Nifti1Image(mask, shifted), tmp_path / "a_label.nii.gz")
    image = blob(tmp_path / "a.nii.gz", affine=shifted)
    return {"image": str(image), "crop": geometry.to_json(), "vertebra_mask": str(tmp_path / "a_label.nii.gz")}


def test_padding_of_a_crop_is_not_valid(crop: dict[str, Any]) -> None:
    case = CaseDataset([crop], Preprocessing("none"), score_margin=None)[0]
    assert case.error == ""
    assert not case.valid[..., :4, :, :].any()
    assert case.valid[..., 4:, :, :].all()
    assert case.region.equal(case.valid)
    assert case.image.shape == (1, 1, 16, 16, 16)
    assert case.item["case_id"] == "a"


def test_the_score_is_taken_near_the_vertebra_and_within_the_source(crop: dict[str, Any]) -> None:
    case = CaseDataset([crop], Preprocessing("none"), score_margin=5.0)[0]
    i, j, k = np.indices((16, 16, 16))
    near = (i - 8) ** 2 + (j - 8) ** 2 + (k - 8) ** 2 <= 25
    assert np.array_equal(case.region[0, 0].numpy(), near & (i >= 4))


def test_distance_is_in_millimetres(crop: dict[str, Any], blob: Callable[..., Path]) -> None:
    affine = np.diag([3.0, 1.0, 1.0, 1.0])
    path = Path(crop["image"])
    blob(path, affine=affine)
    mask = nib.load(crop["vertebra_mask"])
    nib.save(nib.Nifti1Image(np.asarray(mask.dataobj), affine), crop["vertebra_mask"])
    case = CaseDataset([{**crop, "crop": ""}], Preprocessing("none"), score_margin=5.0)[0]
    assert case.region[0, 0, 9, 8, 8]
    assert not case.region[0, 0, 10, 8, 8], "6 mm away"
    assert case.region[0, 0, 8, 13, 8]


@pytest.mark.parametrize("corner", [(0, 0, 0), (15, 15, 15), (3, 12, 8)])
def test_the_distance_is_exact_at_the_border_of_the_grid_too(crop: dict[str, Any], corner: tuple[int, ...]) -> None:
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[corner] = 1
    nib.save(nib.Nifti1Image(mask, nib.load(crop["image"]).affine), crop["vertebra_mask"])
    case = CaseDataset([{**crop, "crop": ""}], Preprocessing("none"), score_margin=3.5)[0]
    away = sum((index - at) ** 2 for index, at in zip(np.indices(mask.shape), corner, strict=True))
    assert np.array_equal(case.region[0, 0].numpy(), away <= 3.5**2)


def test_a_mask_that_marks_nothing_is_told(crop: dict[str, Any]) -> None:
    nib.save(nib.Nifti1Image(-np.eye(16, dtype=np.int8)[..., None].repeat(16, 2), np.eye(4)), crop["vertebra_mask"])
    assert "a_label.nii.gz: marks no voxel" in CaseDataset([crop], Preprocessing("none"))[0].error


def test_a_case_that_cannot_be_read_says_why_and_the_next_one_is_read(crop: dict[str, Any], tmp_path: Path) -> None:
    wrong = json.loads(crop["crop"]) | {"shape": [8, 8, 8]}
    small = tmp_path / "small.nii.gz"
    nib.save(nib.Nifti1Image(np.eye(4, dtype=np.uint8)[:, :, None].repeat(4, 2), AFFINE), small)
    bad = [
        {"image": "none.nii.gz"},
        {**crop, "crop": json.dumps(wrong)},
        {**crop, "crop": "{}"},
        {**crop, "vertebra_mask": str(small)},
    ]
    data = CaseDataset([*bad, crop], Preprocessing("none"))
    reasons = [data[index].error for index in range(5)]
    for reason, part in zip(
        reasons, ("no such file", "its crop column says", "column 'crop'", "small.nii.gz: its size"), strict=False
    ):
        assert part in reason
    assert reasons[4] == ""
    assert data[0].stored is None


def test_values_outside_0_to_1_need_an_intensity(crop: dict[str, Any], blob: Callable[..., Path]) -> None:
    path = Path(crop["image"])
    image = nib.load(path)
    nib.save(nib.Nifti1Image((image.get_fdata() * 1000).astype(np.int16), image.affine), path)
    data = CaseDataset([crop], Preprocessing("none"))
    assert "set intensity to hu_window" in data[0].error
    assert replace(data, preprocessing=Preprocessing("hu_window"))[0].error == ""


def test_a_datalist_of_plain_paths_is_taken_as_slicer_gives_it(tmp_path: Path, blob: Callable[..., Path]) -> None:
    path = blob(tmp_path / "ct.nii.gz")
    case = CaseDataset([str(path)], Preprocessing("none"))[0]
    assert (case.error, case.item["case_id"], case.item["image"]) == ("", "ct", str(path))
