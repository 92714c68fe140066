"""The check finds every leak and every misfit, and lists them all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.check import check_table
from fracture_vae.cohort.content import image_hash
from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.manifest import read_cohort, write_cohort
from fracture_vae.cohort.origin import KEY

LPS = np.array([[-2, 0, 0, 9], [0, -2, 0, 8], [0, 0, 3, 7], [0, 0, 0, 1.0]])
PIR = np.array([[0, 0, 2, 1], [-2, 0, 0, 2], [0, -3, 0, 3], [0, 0, 0, 1.0]])


def voxels(seed: int, shape: tuple[int, int, int] = (4, 5, 6)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.float32)


def save(path: Path, array: np.ndarray, affine: Any = None, dtype: Any = np.float32) -> Path:
    if path.suffix == ".npy":
        np.save(path, array.astype(dtype))
    else:
        nib.save(nib.Nifti1Image(array.astype(dtype), np.eye(4) if affine is None else affine), path)
    return path


def oriented(path: Path, ras: np.ndarray, affine: np.ndarray) -> Path:
    """Store an array, given in RAS order, along the axes of ``affine``."""
    to = nib.orientations.io_orientation(affine)
    from_ras = nib.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), to)
    return save(path, nib.orientations.apply_orientation(ras, from_ras), affine, np.int16)


def rows(folder: Path, *names: str) -> list[dict[str, Any]]:
    """Rows of one patient each in folds 1, 2, 1, …, and an image of their own where there is none."""
    for number, name in enumerate(names):
        if not (folder / name).exists():
            save(folder / name, voxels(100 + number))
    return [
        {"case_id": f"c{n}", "patient_id": f"p{n}", "fold": n % 2 + 1, "image": name} for n, name in enumerate(names)
    ]


def problems(table: Path) -> list[str]:
    return list(check_table(table).problems)


def test_a_sound_cohort_has_no_problem(table: Callable[..., Path], tmp_path: Path, cli: Callable[..., Any]) -> None:
    path = table(tmp_path / "cohort.csv", rows(tmp_path, "a.nii.gz", "b.npy", "c.nii"))
    assert problems(path) == []
    result = cli("cohort", "check", path)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"{path}: 3 cases, no problem"


@pytest.mark.parametrize(
    "other",
    ["same.nii", "same.nii.gz", "same.npy", "int.nii.gz", "lps.nii.gz", "pir.nii", "negative zero.npy"],
)
def test_one_image_in_two_folds_is_caught_however_it_is_stored(
    table: Callable[..., Path], tmp_path: Path, other: str
) -> None:
    array = voxels(1)
    array[0, 0, 0] = 0
    save(tmp_path / "first.nii.gz", array)
    if other.startswith("lps"):
        oriented(tmp_path / other, array, LPS)
    elif other.startswith("pir"):
        oriented(tmp_path / other, array, PIR)
    elif other.startswith("negative"):
        save(tmp_path / other, np.where(array == 0, np.float32(-0.0), array))
    else:
        save(tmp_path / other, array, dtype=np.int16 if other.startswith("int") else np.float32)
    path = table(tmp_path / "cohort.csv", rows(tmp_path, "first.nii.gz", other, "unlike.npy"))
    assert problems(path) == [f"rows 2, 3 in folds 1 and 2 hold the same image (first.nii.gz, {other}); keep one row"]


@pytest.mark.parametrize("orientation", ["LPS", "PIR", "mirrored"])
def test_an_array_that_cannot_tell_its_orientation_is_known_again(
    table: Callable[..., Path], tmp_path: Path, orientation: str
) -> None:
    affine = {"LPS": LPS, "PIR": PIR, "mirrored": np.eye(4)}[orientation]
    oriented(tmp_path / "a.nii.gz", voxels(1), affine)
    stored = np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj)
    save(tmp_path / "b.npy", stored[:, :, ::-1] if orientation == "mirrored" else stored)
    assert problems(table(tmp_path / "cohort.csv", rows(tmp_path, "a.nii.gz", "b.npy"))) == [
        "rows 2, 3 in folds 1 and 2 hold the same image, turned or mirrored (a.nii.gz, b.npy); keep one row"
    ]


def test_images_of_the_same_values_otherwise_arranged_are_two(table: Callable[..., Path], tmp_path: Path) -> None:
    array = np.zeros((4, 4, 4), dtype=np.float32)
    for name, places in {"a": ((0, 0, 0), (1, 1, 1)), "b": ((0, 0, 0), (1, 1, 0))}.items():
        own = array.copy()
        for place in places:
            own[place] = 1
        save(tmp_path / f"{name}.npy", own)
    assert problems(table(tmp_path / "cohort.csv", rows(tmp_path, "a.npy", "b.npy"))) == []


def test_images_that_differ_in_one_voxel_are_two(table: Callable[..., Path], tmp_path: Path) -> None:
    array = voxels(1)
    save(tmp_path / "a.npy", array)
    array[1, 2, 3] += 1
    save(tmp_path / "b.npy", array)
    assert problems(table(tmp_path / "cohort.csv", rows(tmp_path, "a.npy", "b.npy"))) == []


def test_the_same_voxels_in_another_shape_are_another_image(table: Callable[..., Path], tmp_path: Path) -> None:
    save(tmp_path / "a.npy", voxels(1))
    save(tmp_path / "b.npy", voxels(1).reshape(5, 4, 6))
    assert problems(table(tmp_path / "cohort.csv", rows(tmp_path, "a.npy", "b.npy"))) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("Müller", "mu\N{COMBINING DIAERESIS}LLER"), ("P 01", "P01"), ("P01", "\N{FULLWIDTH LATIN CAPITAL LETTER P}01")],
)
def test_two_spellings_of_one_patient_are_told(
    table: Callable[..., Path], tmp_path: Path, one: str, other: str
) -> None:
    given = rows(tmp_path, "a.npy", "b.npy", "c.npy", "d.npy")
    for row, name in zip(given, (one, other, one, "p 3"), strict=True):
        row["patient_id"] = name
    assert problems(table(tmp_path / "cohort.csv", given)) == [
        f"rows 2, 3 spell one patient_id in 2 ways ('{one}' and '{other}'); spell it alike"
    ]


def test_two_spellings_of_one_case_are_told(table: Callable[..., Path], tmp_path: Path) -> None:
    given = rows(tmp_path, "a.npy", "b.npy")
    given[0]["case_id"], given[1]["case_id"] = "case 1", "case1"
    assert problems(table(tmp_path / "cohort.csv", given)) == [
        "rows 2, 3 spell one case_id in 2 ways ('case 1' and 'case1'); spell it alike"
    ]


@pytest.mark.parametrize("how", ["path", "link", "absent", "copy", "reoriented", "broken"])
def test_one_scan_in_two_folds_is_told(table: Callable[..., Path], tmp_path: Path, how: str) -> None:
    given = rows(tmp_path, "a.npy", "b.npy", "c.npy")
    scan, other = tmp_path / "ct.nii.gz", "ct.nii.gz"
    if how != "absent":
        save(scan, voxels(7))
    if how == "link":
        (tmp_path / "link.nii.gz").symlink_to(scan)
        other = "link.nii.gz"
    elif how == "copy":
        other = save(tmp_path / "copy.nii", voxels(7)).name
    elif how == "reoriented":
        other = oriented(tmp_path / "turned.nii.gz", voxels(7), PIR).name
    elif how == "broken":
        other = save(tmp_path / "sub-x_ct.nii.gz", voxels(8)).name
        (tmp_path / "sub-x_fractures.json").write_text(json.dumps({KEY: image_hash(scan)}), encoding="utf-8")
    given[0]["source_image"], given[1]["source_image"] = scan.name, other
    copies = "copies of one scan, whole or broken (ct.nii.gz, "
    told = {"copy": f"{copies}copy.nii)", "reoriented": f"{copies}turned", "broken": f"{copies}sub-x_ct.nii.gz)"}
    (only,) = problems(table(tmp_path / "cohort.csv", given))
    assert only.startswith(f"rows 2, 3 in folds 1 and 2 were cropped from {told.get(how, 'one scan (ct.nii.gz)')}")


def test_one_scan_in_one_fold_is_well(table: Callable[..., Path], tmp_path: Path) -> None:
    given = rows(tmp_path, "a.npy", "b.npy", "c.npy")
    save(tmp_path / "ct.nii.gz", voxels(7))
    given[0]["source_image"] = given[2]["source_image"] = "ct.nii.gz"
    assert problems(table(tmp_path / "cohort.csv", given)) == []


def test_masks_and_boxes_must_fit_the_image(table: Callable[..., Path], tmp_path: Path) -> None:
    given = rows(tmp_path, "a.nii.gz", "b.nii.gz", "c.npy", "d.npy")
    oriented(tmp_path / "a_label.nii.gz", voxels(1), PIR)  # (4, 5, 6) in RAS, stored otherwise: fits
    save(tmp_path / "b_label.nii.gz", np.ones((4, 5, 7)))
    (tmp_path / "d_label.npy").write_bytes(b"no mask")
    given[0] |= {"vertebra_mask": "a_label.nii.gz", "mask": "a_label.nii.gz", "box": "0:4,0:5,0:6"}
    given[1] |= {"vertebra_mask": "b_label.nii.gz", "mask": "b_label.nii.gz"}
    given[2] |= {"box": "0:4,0:5,0:7"}
    given[3] |= {"mask": "d_label.npy"}
    first, second, third, fourth = problems(table(tmp_path / "cohort.csv", given))
    assert first == "row 3: mask b_label.nii.gz is (4, 5, 7), the image (4, 5, 6); make it anew"
    assert second == "row 3: vertebra_mask b_label.nii.gz is (4, 5, 7), the image (4, 5, 6); make it anew"
    assert third == "row 4: box 0:4,0:5,0:7 reaches beyond the image's (4, 5, 6) voxels; correct it"
    assert fourth.startswith("row 5: mask: ")
    assert "d_label.npy" in fourth


@pytest.fixture
def cropped(tmp_path: Path) -> Path:
    """Crops of two small scans, one a fold."""
    for name, seed in (("one", 1), ("two", 2)):
        mask = np.zeros((12, 12, 12))
        mask[4:8, 4:8, 2:5], mask[4:8, 4:8, 6:9] = 20, 21
        save(tmp_path / f"{name}.nii.gz", voxels(seed, (12, 12, 12)) * 8, LPS)
        save(tmp_path / f"{name}_mask.nii.gz", mask, LPS, np.uint8)
        out = tmp_path / "study"
        crop_vertebrae(tmp_path / f"{name}.nii.gz", tmp_path / f"{name}_mask.nii.gz", out, size=(8, 8, 8), spacing=2)
    table = tmp_path / "study" / "cohort.csv"
    cases = read_cohort(table).cases
    write_cohort(table, [replace(case, fold=str(1 + number // 2), label=0) for number, case in enumerate(cases)])
    return table


def test_crops_belong_to_their_scans(cropped: Path) -> None:
    assert problems(cropped) == []


def test_a_crop_that_leads_elsewhere_is_told(cropped: Path) -> None:
    cases = list(read_cohort(cropped).cases)
    geometry = CropGeometry.from_json(cases[0].crop)
    moved = np.asarray(geometry.affine)
    moved[0, 3] += 1
    elsewhere = replace(geometry, affine=tuple(map(tuple, moved.tolist())))
    cases[0] = replace(cases[0], crop=elsewhere.to_json())
    cases[1] = replace(cases[1], crop=replace(geometry, source_shape=(12, 12, 13)).to_json())
    cases[2] = replace(cases[2], crop='{"label": 20}')
    write_cohort(cropped, cases)
    told = problems(cropped)
    assert "row 2: crop describes another grid than one_L1.nii.gz has; crop again" in told
    assert "row 3: crop was not taken from one.nii.gz: its size or place differs; crop again" in told
    assert "row 4: column 'crop' does not say where the image was cropped; crop again" in told
    assert len(told) == 4, "and row 3's grid is the other crop's"


def test_an_image_that_cannot_be_read_is_told_with_its_row(table: Callable[..., Path], tmp_path: Path) -> None:
    given = rows(tmp_path, "a.npy", "b.npy", "c.npy")
    (tmp_path / "b.npy").write_bytes(b"no image")
    (only,) = problems(table(tmp_path / "cohort.csv", given))
    assert only.startswith("row 3: ")
    assert "b.npy" in only


def test_all_problems_are_listed_and_the_status_is_2(
    table: Callable[..., Path], tmp_path: Path, cli: Callable[..., Any]
) -> None:
    save(tmp_path / "copy.npy", voxels(100))
    given = rows(tmp_path, "a.npy", "copy.npy", "c.npy", "d.npy", "e.npy")
    given[2]["label"] = "yes"
    given[3]["patient_id"] = "p0"
    given[4] |= {"patient_id": "P0", "box": "0:9,0:9,0:9", "case_id": "C0"}
    path = table(tmp_path / "cohort.csv", given)
    result = cli("cohort", "check", path)
    assert result.exit_code == 2
    errors = [line.removeprefix(f"Error: {path}: ") for line in result.stderr.splitlines() if line.startswith("Error")]
    assert [error.split(";")[0].split(" (")[0] for error in errors] == [
        "row 4: label is 'yes'",
        "rows 2, 6 have case_ids that differ only in upper and lower case or Unicode form, and would share files",
        "rows 2, 5 put patient 'p0' in folds 1 and 2",
        "rows 2, 6 spell one patient_id in 2 ways",
        "rows 2, 6 spell one case_id in 2 ways",
        "row 6: box 0:9,0:9,0:9 reaches beyond the image's",
        "rows 2, 3 in folds 1 and 2 hold the same image",
    ]
    assert result.stdout.splitlines()[-1] == f"{path}: 7 problems"
    assert "Traceback" not in result.stderr


def test_json_holds_the_whole_report(table: Callable[..., Path], tmp_path: Path, cli: Callable[..., Any]) -> None:
    given = rows(tmp_path, "a.npy", "b.npy", "c.npy")
    given[1] |= {"box": "0:9,0:9,0:9"}
    result = cli("cohort", "check", table(tmp_path / "cohort.csv", given), "--json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert len(report["problems"]) == 1
    assert report["normals_to_train"] == {"1": 1, "2": 2}
    assert {"level": "L1", "fold": "1", "normal": 2, "abnormal": 0, "unknown": 0} in report["counts"]


def test_what_is_no_table_is_told_in_a_line(cli: Callable[..., Any], tmp_path: Path) -> None:
    result = cli("cohort", "check", tmp_path / "none.csv")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
