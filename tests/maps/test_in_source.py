"""Maps of crops on the scan they were cut from, through the whole way a user goes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.manifest import read_cohort, write_cohort
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.jobs import infer_cases

COS, SIN = np.cos(0.2), np.sin(0.2)
AFFINE = np.array([[0, -1.1 * COS, 1.5 * SIN, 30], [-0.9, 0, 0, 40], [0, -1.1 * SIN, -1.5 * COS, 20], [0, 0, 0, 1.0]])


def scan(folder: Path, name: str, seed: int) -> Path:
    """A CT with two vertebrae, cropped into ``folder/cohort.csv``."""
    i, j, k = np.indices((46, 40, 30))
    hu = 900 + 300 * np.sin(i / 5 + seed) + 200 * np.cos(j / 6) + 100 * np.sin(k / 4)
    mask = np.zeros(i.shape, np.uint8)
    mask[8:18, 10:18, 3:9], mask[26:36, 20:30, 17:25] = 20, 21
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, array in (("", hu.astype(np.int16)), ("_mask", mask)):
        nib.save(nib.Nifti1Image(array, AFFINE), folder / f"{name}{suffix}.nii.gz")
    crop_vertebrae(folder / f"{name}.nii.gz", folder / f"{name}_mask.nii.gz", folder / "crops", size=(24, 24, 24))
    return folder / "crops" / "cohort.csv"


def infer(model: Path, output: Path, **settings: Any) -> None:
    plain = {"cohort": None, "images": [], "split": "all", "npy": False, "device": "cpu", "precision": "fp32"}
    infer_cases(model, output, {**plain, **settings}, in_source=True)


def test_every_source_gets_one_map_on_its_own_grid(tiny_run: Path, tmp_path: Path) -> None:
    scan(tmp_path, "one", 0)
    cohort = scan(tmp_path, "two", 1)
    infer(tiny_run, tmp_path / "out", cohort=str(cohort))
    for name in ("one", "two"):
        source = nib.load(tmp_path / f"{name}.nii.gz")
        error = nib.load(tmp_path / "out" / f"{name}_error.nii.gz")
        valid = nib.load(tmp_path / "out" / f"{name}_valid.nii.gz")
        for map_ in (error, valid):
            assert map_.shape == source.shape
            np.testing.assert_allclose(map_.affine, source.affine, atol=1e-5)
        covered = np.asarray(valid.dataobj) > 0
        assert 0 < covered.mean() < 1
        values = error.get_fdata()
        assert (values[~covered] == 0).all()
        crops = [read_volume(tmp_path / "out" / f"{name}_{level}_error.nii.gz").array for level in ("L1", "L2")]
        assert values.max() <= max(crop.max() for crop in crops) + 1e-6
        assert values[covered].mean() == pytest.approx(np.mean(crops), rel=0.2)
        said = json.loads((tmp_path / "out" / f"{name}.json").read_text(encoding="utf-8"))
        assert said["cases"] == [f"{name}_L1", f"{name}_L2"]
        assert said["notice"] == "research use only"


def test_what_lies_outside_the_source_is_not_valid(tiny_run: Path, tmp_path: Path) -> None:
    cohort = scan(tmp_path, "one", 0)
    infer(tiny_run, tmp_path / "out", cohort=str(cohort))
    from fracture_vae.cohort.geometry import CropGeometry

    cases = read_cohort(cohort).cases
    beyond = 0
    for case in cases:
        valid = read_volume(tmp_path / "out" / f"{case.case_id}_valid.nii.gz", allow_constant=True).array > 0
        inside = CropGeometry.from_json(case.crop).inside_source()
        np.testing.assert_array_equal(valid, inside)
        beyond += (~inside).sum()
    assert beyond > 0, "this test needs a crop that reaches beyond its scan"


def test_two_sources_of_one_name_get_two_maps(tiny_run: Path, tmp_path: Path) -> None:
    cases = []
    for index, patient in enumerate(("ann", "bob")):
        cohort = read_cohort(scan(tmp_path / patient, "ct", index))
        cases += [replace(c, case_id=f"{patient}_{c.level}", patient_id=patient) for c in cohort.cases]
    write_cohort(tmp_path / "cohort.csv", cases)
    infer(tiny_run, tmp_path / "out", cohort=str(tmp_path / "cohort.csv"))
    maps = {path.name for path in (tmp_path / "out").glob("*ct_error.nii.gz")}
    assert maps == {"ann_ct_error.nii.gz", "bob_ct_error.nii.gz"}


def test_without_crops_or_without_the_source_nothing_is_run(tiny_run: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--in-source needs a cohort whose rows have crop and source_image"):
        infer(tiny_run, tmp_path / "out", cohort=str(tiny_cohort))
    cohort = scan(tmp_path, "one", 0)
    (tmp_path / "one.nii.gz").unlink()
    with pytest.raises(InputError, match=r"one\.nii\.gz: no such file; --in-source needs the scans"):
        infer(tiny_run, tmp_path / "out", cohort=str(cohort))
    assert not (tmp_path / "out").exists()


def test_a_bad_crop_is_named_and_the_others_are_pasted(tiny_run: Path, tmp_path: Path) -> None:
    cohort = scan(tmp_path, "one", 0)
    (tmp_path / "crops" / "one_L1.nii.gz").write_bytes(b"")
    with pytest.raises(PartialFailure, match="one_L1"):
        infer(tiny_run, tmp_path / "out", cohort=str(cohort))
    assert json.loads((tmp_path / "out" / "one.json").read_text(encoding="utf-8"))["cases"] == ["one_L2"]


def test_only_bad_crops_are_told_as_such(tiny_run: Path, tmp_path: Path, blob: Callable[..., Path]) -> None:
    cohort = scan(tmp_path, "one", 0)
    for level in ("L1", "L2"):
        (tmp_path / "crops" / f"one_{level}.nii.gz").write_bytes(b"")
    with pytest.raises(PartialFailure, match="2 cases failed, 0 written"):
        infer(tiny_run, tmp_path / "out", cohort=str(cohort))
    assert not (tmp_path / "out").exists()
