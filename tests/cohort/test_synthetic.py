"""A synthetic cohort: planned by its seed alone, whole or not there, labelled as it was broken."""

import json
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture_vae.cohort import synthetic
from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.manifest import Case, check_content, read_cohort
from fracture_vae.cohort.synthetic import SyntheticCohort, make_cohort, open_cohort, planned_fractures
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError

TINY = SyntheticCohort(
    patients=2, holdout=1, levels=("L1",), fractured=0.0, fractured_holdout=1.0, folds=2, size=32, spacing=4.0, seed=3
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real cohort of three patients; only this file makes one."""
    return make_cohort(tmp_path_factory.mktemp("synthetic") / "cohort", TINY, processes=1)


def test_labels_match_the_fractures_planned(made: Path) -> None:
    cases = read_cohort(made).cases
    assert [case.case_id for case in cases] == ["synth000_L1", "synth001_L1", "synth002_L1"]
    for index, case in enumerate(cases):
        fracture = planned_fractures(TINY, index).get("L1")
        assert (case.label, case.genant_grade, case.genant_type) == (
            (0, 0, "") if fracture is None else (1, fracture.grade, fracture.type)
        )
        truth = read_volume(case.mask, allow_constant=True).array > 0  # type: ignore[arg-type]
        assert truth.any() == (case.label == 1)
    assert cases[2].label == 1, "all of the hold-out is broken here"


def test_folds_are_by_patient_and_the_holdout_apart(made: Path) -> None:
    cohort = read_cohort(made)
    assert cohort.folds == (1, 2)
    assert [case.patient_id for case in cohort.holdout()] == ["synth002"]
    check_content(cohort)


def test_crops_are_of_the_planned_grid_and_come_from_the_sources(made: Path) -> None:
    for case in read_cohort(made).cases:
        volume = read_volume(case.image)
        assert volume.array.shape == (32, 32, 32)
        np.testing.assert_allclose(np.linalg.norm(volume.affine[:3, :3], axis=0), 4.0, rtol=1e-6)
        assert 0 <= volume.array.min() < volume.array.max() <= 1
        assert case.source_image == made.parent / "sources" / f"{case.patient_id}.nii.gz"
        source = read_volume(case.source_image).array  # type: ignore[arg-type]
        assert source.min() < -50, "fat, in HU"
        assert source.max() > 500, "cortical bone"
        assert CropGeometry.from_json(case.crop).label == 20
        assert case.vertebra_mask is not None


def test_the_folder_holds_nothing_half_made(made: Path) -> None:
    assert [path.name for path in made.parent.parent.iterdir()] == ["cohort"]
    assert sorted(path.name for path in made.parent.iterdir()) == [
        "cohort.csv", "sources", "synth000", "synth001", "synth002",
    ]  # fmt: skip
    assert not list(made.parent.rglob(".*"))


def test_a_plan_follows_from_its_seed() -> None:
    plan = SyntheticCohort(patients=40, holdout=10, levels=("T12", "L1", "L2"))

    def planned(seed: int) -> list[dict[str, Any]]:
        return [dict(planned_fractures(replace(plan, seed=seed), index)) for index in range(50)]

    assert planned(1) == planned(1)
    assert planned(1) != planned(2)
    counts = [len(fractures) for fractures in planned(0)]
    assert counts[:40] == [1] * 40, "a third of three levels"
    assert set(counts[40:]) == {1, 2}, "half of three levels"
    kinds = {(f.type, f.grade) for fractures in planned(0) for f in fractures.values()}
    assert {kind for kind, _ in kinds} == {"wedge", "biconcave", "crush"}
    assert {grade for _, grade in kinds} == {1, 2, 3}


def test_more_patients_leave_the_first_ones_as_they_were() -> None:
    assert planned_fractures(SyntheticCohort(patients=5), 3) == planned_fractures(SyntheticCohort(patients=500), 3)


class SamePool:
    """Runs in this process what would go to others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def submit(self, function: Any, *args: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, **kwargs: Any) -> None:
        pass


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patients that are a small file each, made in this process."""

    def patient(folder: Path, plan: SyntheticCohort, index: int) -> Sequence[Case]:
        name = f"synth{index:03d}"
        (folder / name).mkdir()
        np.save(folder / name / "a.npy", np.arange(8.0).reshape(2, 2, 2) + index)
        return [Case(case_id=name, patient_id=name, image=folder / name / "a.npy", label=0)]

    monkeypatch.setattr(synthetic, "ProcessPoolExecutor", SamePool)
    monkeypatch.setattr(synthetic, "_make_patient", patient)


@pytest.mark.usefixtures("quick")
def test_when_a_patient_fails_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = synthetic._make_patient

    def fails(folder: Path, plan: SyntheticCohort, index: int) -> Sequence[Case]:
        if index == 2:
            raise OSError("disk full")
        return first(folder, plan, index)

    monkeypatch.setattr(synthetic, "_make_patient", fails)
    with pytest.raises(OSError, match="disk full"):
        make_cohort(tmp_path / "cohort", TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_folder_in_use_is_left_alone_and_an_empty_one_taken(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="used: not empty; give a new folder"):
        make_cohort(tmp_path / "used", TINY)
    (tmp_path / "empty").mkdir()
    assert len(read_cohort(make_cohort(tmp_path / "empty", TINY)).cases) == 3
    assert ((tmp_path / "empty").stat().st_mode & 0o777) == 0o755


@pytest.mark.usefixtures("quick")
def test_where_another_process_was_faster_its_cohort_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = synthetic.write_cohort

    def slow(path: Path, cases: Any) -> None:
        write(path, cases)
        (tmp_path / "cohort").mkdir()
        (tmp_path / "cohort" / "cohort.csv").write_text("theirs", encoding="utf-8")

    monkeypatch.setattr(synthetic, "write_cohort", slow)
    assert make_cohort(tmp_path / "cohort", TINY).read_text(encoding="utf-8") == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


@pytest.mark.usefixtures("quick")
def test_the_small_cohort_is_made_once_in_the_cache_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FRACTURE_VAE_CACHE", str(tmp_path / "cache"))
    caplog.set_level("INFO")
    first = open_cohort(None)
    stamp = first.path.stat().st_mtime_ns
    second = open_cohort(None)
    assert second == first
    assert second.path.stat().st_mtime_ns == stamp
    assert first.path.is_relative_to(tmp_path / "cache")
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("no cohort given: making a small synthetic one, once, in ")
    assert said[1].startswith("no cohort given: taking the synthetic one in ")


def test_the_cache_is_where_the_user_s_caches_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FRACTURE_VAE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert synthetic.cache_folder() == tmp_path / "fracture_vae"


def test_a_cohort_that_is_given_is_opened(made: Path) -> None:
    assert open_cohort(made).path == made
    with pytest.raises(InputError):
        open_cohort(made.parent / "none.csv")


@pytest.mark.parametrize(
    "wrong",
    [{"patients": 3, "folds": 5}, {"folds": 1}, {"holdout": -1}, {"levels": ()}, {"fractured": 1.5}],
)
def test_a_plan_that_makes_no_cohort_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SyntheticCohort(**wrong)


def test_a_plan_that_breaks_too_many_vertebrae_is_refused_before_any_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 of 2 patients would have an unbroken vertebra, fewer than 2 folds"):
        make_cohort(tmp_path / "cohort", replace(TINY, fractured=1.0))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_level_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="L9"):
        make_cohort(tmp_path / "cohort", replace(TINY, levels=("L9",)), processes=1)
    assert list(tmp_path.iterdir()) == []


def test_the_crop_column_is_json(made: Path) -> None:
    assert all(json.loads(case.crop)["hu_window"] == [0.0, 1900.0] for case in read_cohort(made).cases)
