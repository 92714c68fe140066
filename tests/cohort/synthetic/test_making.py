"""Making a study: whole or not there, and going on where a killed job was."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture_vae.cohort.manifest import Case, read_cohort
from fracture_vae.cohort.synthetic import (
    PlannedPatient,
    SyntheticCohort,
    cache_folder,
    make_cohort,
    making,
    open_cohort,
    plan_cohort,
)
from fracture_vae.errors import InputError

PLAN = plan_cohort(
    SyntheticCohort(patients=2, holdout=1, levels=("L1",), fractured=0.0, fractured_holdout=1.0, folds=2)
)


class SamePool:
    """Runs in this process what would go to others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def submit(self, function: Any, *args: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, **kwargs: Any) -> None:
        pass


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Patients that are a small file each, made in this process; the list names those made."""
    names: list[str] = []

    def patient(folder: Path, patient: PlannedPatient, size: int, spacing: float) -> list[Case]:
        names.append(patient.name)
        folder.mkdir(parents=True)
        np.save(folder / "a.npy", np.arange(8.0).reshape(2, 2, 2) + patient.seed)
        image = folder / "a.npy"
        return [Case(case_id=patient.name, patient_id=patient.name, image=image, label=0, fold=patient.fold)]

    monkeypatch.setattr(making, "ProcessPoolExecutor", SamePool)
    monkeypatch.setattr(making, "make_patient", patient)
    return names


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``stop(name, error)`` raises ``error`` where the named patient, or every, would be made; None goes on."""
    first = making.make_patient

    def at(name: str | None, error: BaseException | None = None) -> None:
        def fails(folder: Path, patient: PlannedPatient, size: int, spacing: float) -> list[Case]:
            if name in (patient.name, "every") and error is not None:
                (folder / "half").mkdir(parents=True)
                raise error
            return first(folder, patient, size, spacing)

        monkeypatch.setattr(making, "make_patient", fails)

    return at


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


def test_the_folder_holds_the_table_and_a_folder_a_patient(tmp_path: Path, made: list[str]) -> None:
    table = make_cohort(tmp_path / "cohort", PLAN)
    assert table == tmp_path / "cohort" / "cohort.csv"
    assert [(case.case_id, case.fold) for case in read_cohort(table).cases] == [
        (patient.name, patient.fold) for patient in PLAN.patients
    ]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "cohort",
        "cohort/cohort.csv",
        "cohort/study.json",
        *(f"cohort/synth00{number}{file}" for number in range(3) for file in ("", "/a.npy")),
    ]
    about = json.loads((tmp_path / "cohort" / "study.json").read_text(encoding="utf-8"))
    assert about["what"] == "synthetic spine, not a patient"
    assert about["patients"]["synth000"] == {"fold": PLAN.patients[0].fold, "seed": 0, "vertebrae": {"L1": None}}
    assert about["patients"]["synth002"]["vertebrae"]["L1"] == asdict(PLAN.patients[2].fractures["L1"])


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["disk full", "Ctrl-C"])
def test_a_stopped_job_goes_on_with_the_patients_not_yet_made(
    tmp_path: Path, made: list[str], stop: Callable[..., None], caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    stop("synth002", error)
    with pytest.raises(type(error)):
        make_cohort(tmp_path / "cohort", PLAN)
    assert not (tmp_path / "cohort").exists()
    (kept,) = hidden(tmp_path)
    assert sorted(path.name for path in kept.iterdir()) == ["synth000", "synth001"], "nothing half made"
    assert f"{kept} keeps 2 of 3 patients; the same call goes on" in caplog.text
    stop(None)
    make_cohort(tmp_path / "cohort", PLAN)
    assert made == ["synth000", "synth001", "synth002"], "each once"
    assert len(read_cohort(tmp_path / "cohort" / "cohort.csv").cases) == 3
    assert not hidden(tmp_path)


@pytest.mark.usefixtures("made")
def test_what_a_killed_process_leaves_half_made_is_swept_away(tmp_path: Path, stop: Callable[..., None]) -> None:
    stop("synth001", OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        make_cohort(tmp_path / "cohort", PLAN)
    (kept,) = hidden(tmp_path)
    (kept / ".patient-killed" / "synth001").mkdir(parents=True)
    stop(None)
    make_cohort(tmp_path / "cohort", PLAN)
    assert sorted(path.name for path in (tmp_path / "cohort").iterdir()) == [
        "cohort.csv", "study.json", "synth000", "synth001", "synth002",
    ]  # fmt: skip


@pytest.mark.usefixtures("made")
def test_another_plan_does_not_take_over_what_is_left(
    tmp_path: Path, made: list[str], stop: Callable[..., None]
) -> None:
    stop("synth001", OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        make_cohort(tmp_path / "cohort", PLAN)
    stop(None)
    other = plan_cohort(SyntheticCohort(patients=2, holdout=1, levels=("L1",), fractured=0.0, folds=2, seed=1))
    make_cohort(tmp_path / "cohort", other)
    assert made[-3:] == ["synth000", "synth001", "synth002"]
    seeds = [float(np.load(case.image).min()) for case in read_cohort(tmp_path / "cohort" / "cohort.csv").cases]
    assert seeds == [float(patient.seed) for patient in other.patients]


@pytest.mark.usefixtures("made")
def test_where_no_patient_could_be_made_nothing_is_left(tmp_path: Path, stop: Callable[..., None]) -> None:
    stop("every", OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        make_cohort(tmp_path / "cohort", PLAN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("made")
def test_a_folder_in_use_is_left_alone_and_an_empty_one_taken(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="used: not empty; give a new folder"):
        make_cohort(tmp_path / "used", PLAN)
    (tmp_path / "empty").mkdir()
    assert len(read_cohort(make_cohort(tmp_path / "empty", PLAN)).cases) == 3


@pytest.mark.usefixtures("made")
def test_where_another_process_was_faster_its_cohort_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = making.make_patient

    def overtaken(folder: Path, patient: PlannedPatient, size: int, spacing: float) -> list[Case]:
        cases = first(folder, patient, size, spacing)
        if patient.name == "synth001":  # meanwhile the other job has finished the same study
            shutil.rmtree(folder.parent.parent)
            (tmp_path / "cohort").mkdir()
            (tmp_path / "cohort" / "cohort.csv").write_text("theirs", encoding="utf-8")
        return cases

    monkeypatch.setattr(making, "make_patient", overtaken)
    assert make_cohort(tmp_path / "cohort", PLAN).read_text(encoding="utf-8") == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


@pytest.mark.usefixtures("made")
def test_a_patient_another_job_made_meanwhile_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = making.make_patient

    def beside(folder: Path, patient: PlannedPatient, size: int, spacing: float) -> list[Case]:
        cases = first(folder, patient, size, spacing)
        if patient.name == "synth001":
            theirs = folder.parent.parent / patient.name
            shutil.copytree(folder, theirs)
            making.write_cohort(theirs / "rows.csv", [replace(case, image=theirs / "a.npy") for case in cases])
        return cases

    monkeypatch.setattr(making, "make_patient", beside)
    assert len(read_cohort(make_cohort(tmp_path / "cohort", PLAN)).cases) == 3


@pytest.mark.usefixtures("made")
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
    monkeypatch.setenv("FRACTURE_VAE_CACHE", "")  # empty is unset
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fracture_vae"


@pytest.mark.usefixtures("made")
def test_a_cohort_that_is_given_is_opened(tmp_path: Path) -> None:
    table = make_cohort(tmp_path / "cohort", PLAN)
    assert open_cohort(table).path == table
    with pytest.raises(InputError):
        open_cohort(tmp_path / "none.csv")
