"""A cohort with anomalies put in: files, table and record."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from fracture_vae.cohort.check import check_table
from fracture_vae.cohort.injection import KINDS, RECORD, inject_cohort
from fracture_vae.cohort.manifest import Cohort, read_cohort
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, blob: Callable[..., Path], table: Callable[..., Path]) -> Path:
    """Two folds of four normal cases, one ``.npy`` among them; an abnormal one and a hold-out."""
    folder = tmp_path_factory.mktemp("source")
    affine = np.array([[-1.0, 0, 0, 20], [0, -1, 0, 30], [0, 0, 1, -40], [0, 0, 0, 1.0]])
    rows = []
    for index in range(10):
        name = f"c{index}" + (".npy" if index == 1 else ".nii.gz")
        blob(folder / name, (20, 22, 24), affine, seed=index)
        fold = "test" if index == 9 else index % 2 + 1
        rows.append({"case_id": f"c{index}", "label": int(index == 8), "fold": fold, "image": name, "note": "kept"})
    return table(folder / "cohort.csv", rows)


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return read_cohort(inject_cohort(source, tmp_path_factory.mktemp("made") / "injected", seed=5))


def test_each_normal_case_is_there_untouched_and_with_an_anomaly(source: Path, made: Cohort) -> None:
    normal = [case for case in made.cases if case.label == 0]
    abnormal = [case for case in made.cases if case.label == 1]
    assert [case.case_id for case in normal] == [f"c{index}" for index in range(8)]
    for case, broken in zip(normal, abnormal, strict=True):
        assert case.image.read_bytes() == (source.parent / case.image.name).read_bytes()
        assert (broken.patient_id, broken.fold) == (case.patient_id, case.fold)
        assert broken.case_id == f"{case.case_id}_{broken.extra['anomaly']}"
        assert (case.mask, case.extra["anomaly"], case.extra["note"]) == (None, "", "kept")
        assert broken.mask is not None
        before, after = read_volume(case.image), read_volume(broken.image)
        truth = read_volume(broken.mask).array > 0
        assert np.array_equal(before.array[~truth], after.array[~truth])
        assert np.array_equal(before.affine, after.affine)
        assert truth.any()


def test_kinds_are_dealt_evenly_over_each_fold(made: Cohort) -> None:
    for fold in ("1", "2"):
        dealt = Counter(case.extra["anomaly"] for case in made.cases if case.fold == fold and case.label)
        assert dealt == dict.fromkeys(KINDS, 1)


def test_the_cohort_is_sound(made: Cohort) -> None:
    assert check_table(made.path).problems == ()


def test_the_record_tells_what_was_drawn(made: Cohort) -> None:
    record = json.loads((made.path.parent / RECORD).read_text())
    assert (record["seed"], record["note"]) == (5, "injected anomaly, not a patient's")
    truths = {case.case_id: int((read_volume(case.mask).array > 0).sum()) for case in made.cases if case.mask}
    assert {entry["case_id"]: entry["truth_voxels"] for entry in record["anomalies"]} == truths
    assert all(entry["case_id"] == f"{entry['made_from']}_{entry['kind']}" for entry in record["anomalies"])


def test_another_program_reads_the_files_and_that_they_are_no_patients(made: Cohort) -> None:
    case = next(case for case in made.cases if case.label and case.image.suffix == ".gz")
    image = sitk.ReadImage(str(case.image))
    assert image.GetMetaData("descrip") == f"{case.extra['anomaly']}; injected anomaly, not a patient's"
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(case.mask))).sum() > 0
    assert image.GetSize() == (20, 22, 24)


def test_the_seed_decides(source: Path, made: Cohort, tmp_path: Path) -> None:
    def voxels(table: Path) -> dict[str, bytes]:
        return {case.case_id: read_volume(case.image).array.tobytes() for case in read_cohort(table).cases}

    assert voxels(inject_cohort(source, tmp_path / "same", seed=5)) == voxels(made.path)
    assert voxels(inject_cohort(source, tmp_path / "other", seed=6)) != voxels(made.path)


def test_the_command(cli: Callable[..., Any], source: Path, tmp_path: Path) -> None:
    done = cli("inject", source, "--out", tmp_path / "new", "--seed", 1)
    assert done.exit_code == 0, done.stderr
    with (tmp_path / "new" / "cohort.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 16
    again = cli("inject", source, "--out", tmp_path / "new")
    assert again.exit_code == 2
    assert "is there already; remove it or give another folder with --out" in again.stderr


def test_nothing_is_left_of_a_cohort_that_cannot_be_made(
    tmp_path: Path, blob: Callable[..., Path], table: Callable[..., Path]
) -> None:
    blob(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(b"no image")
    rows = [{"case_id": name, "image": f"{name}.nii.gz"} for name in "ab"]
    with pytest.raises(InputError, match=r"b\.nii\.gz"):
        inject_cohort(table(tmp_path / "cohort.csv", rows), tmp_path / "out" / "new")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_cohort_without_normal_cases_is_refused(
    tmp_path: Path, blob: Callable[..., Path], table: Callable[..., Path]
) -> None:
    blob(tmp_path / "a.nii.gz")
    path = table(tmp_path / "cohort.csv", [{"case_id": "a", "image": "a.nii.gz", "label": 1}])
    with pytest.raises(InputError, match="no normal case"):
        inject_cohort(path, tmp_path / "new")


@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 16, 16), (3, 3, 3)])
def test_an_image_without_room_for_an_anomaly_is_told(
    tmp_path: Path, blob: Callable[..., Path], table: Callable[..., Path], shape: tuple[int, int, int]
) -> None:
    """In a few voxels the truth may be empty: nobody could find that, and evaluate refuses it."""
    rows = []
    for index in range(40):
        blob(tmp_path / f"c{index}.nii.gz", shape, seed=index)
        rows.append({"case_id": f"c{index}", "image": f"c{index}.nii.gz"})
    size = "×".join(map(str, shape))
    with pytest.raises(
        InputError, match=rf"c\d+\.nii\.gz: {size} voxels are too small for an anomaly; leave row \d+ out"
    ):
        inject_cohort(table(tmp_path / "cohort.csv", rows), tmp_path / "out", seed=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["", "_label"])
def test_no_file_is_made_of_two_cases(
    tmp_path: Path, blob: Callable[..., Path], table: Callable[..., Path], suffix: str
) -> None:
    names = ["a", *(f"a_{kind}{suffix}" for kind in KINDS)]
    for name in names:
        blob(tmp_path / f"{name}.nii.gz", seed=len(name))
    cohort = table(tmp_path / "cohort.csv", [{"case_id": name, "image": f"{name}.nii.gz"} for name in names])
    with pytest.raises(InputError, match=r"row \d: a_\w+\.nii\.gz would be made of two cases; rename case_id"):
        inject_cohort(cohort, tmp_path / "out")
    assert not (tmp_path / "out").exists()
