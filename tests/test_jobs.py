"""Jobs: which configs run, and that a run goes on as the run it was."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fracture_vae.alone import alone_in
from fracture_vae.cohort.case import pseudonym
from fracture_vae.errors import InputError
from fracture_vae.jobs import infer_cases, resume_run, train_bundle
from fracture_vae.maps.model import find_bundle, find_models
from fracture_vae.maps.table import read_scores


def test_a_resumed_run_s_model_still_belongs_to_its_bundle(tiny_run: Path, vq3d: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    resume_run(run, {"max_epochs": 3})
    said = json.loads(torch.load(run / "checkpoints" / "last.pt", weights_only=True)["about"])
    assert (said["bundle"], said["epoch"], said["fold"]) == ("vq3d", 3, 1)
    shutil.copy(run / "checkpoints" / "last.pt", tmp_path / "alone.pt")
    assert find_bundle(find_models(tmp_path / "alone.pt")[0], vq3d.parent) == vq3d


def test_a_resumed_run_is_the_interrupted_bundle_s_twin_to_the_last_bit(
    train: Callable[..., Path], tiny_run: Path, tmp_path: Path
) -> None:
    settings = {"lr_schedule": "constant", "max_epochs": 3}
    whole = train(tmp_path / "whole", **settings)
    part = train(tmp_path / "part", **{**settings, "max_epochs": 2})
    resume_run(part, {"max_epochs": 3})
    first, second = (torch.load(run / "checkpoints" / "last.pt", weights_only=True) for run in (whole, part))
    assert all(torch.equal(value, second["network"][name]) for name, value in first["network"].items())


def test_a_run_that_is_being_trained_is_not_gone_on_with_beside(tiny_run: Path, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="nothing is held where the system has no such locks")
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    before = (run / "metrics.csv").read_bytes(), (run / "run_meta.json").read_bytes()
    other = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is at work on this run; wait for it"):
            resume_run(run, {"max_epochs": 3})
    finally:
        os.close(other)
    assert ((run / "metrics.csv").read_bytes(), (run / "run_meta.json").read_bytes()) == before
    (run / "figures" / ".writing-x").mkdir(parents=True)
    resume_run(run, {"max_epochs": 3})
    assert not (run / "figures" / ".writing-x").exists()


def test_a_bundle_can_be_anybody_s(vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(vq3d / "configs", tmp_path / "mine" / "configs")
    train_bundle(tmp_path / "mine", "2", [], {"cohort": str(tiny_cohort), **tiny})
    run = (tmp_path / "mine" / "runs" / "vq3d" / "latest").resolve()
    assert run.name.endswith("-fold2")
    infer_cases(run, tmp_path / "out", {"cohort": str(tiny_cohort), "device": "cpu"})
    assert [row["fold"] for row in read_scores(tmp_path / "out" / "scores.csv")] == ["2"] * 3


def test_an_overlay_is_merged_over_the_training(
    vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({"max_epochs": 1, "run_name": "overlaid"}), encoding="utf-8")
    settings = {name: value for name, value in tiny.items() if name != "max_epochs"}
    given = {"cohort": str(tiny_cohort), "project_dir": str(tmp_path), **settings}
    train_bundle(vq3d, "1", [tmp_path / "mine.json"], given)
    run = (tmp_path / "vq3d" / "latest").resolve()
    assert run.name.endswith("-overlaid")
    assert len((run / "metrics.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_preprocessing_of_an_inference_is_the_checkpoint_s_unless_said_otherwise(
    train: Callable[..., Path], tiny_cohort: Path, tmp_path: Path
) -> None:
    run = train(tmp_path, max_epochs=1, intensity="percentile", percentiles=[2, 98])
    infer_cases(run, tmp_path / "a", {"cohort": str(tiny_cohort), "device": "cpu"})
    infer_cases(run, tmp_path / "b", {"cohort": str(tiny_cohort), "device": "cpu", "intensity": "none"})
    said = [json.loads((tmp_path / name / "p10.json").read_text(encoding="utf-8"))["preprocessing"] for name in "ab"]
    assert [(p["intensity"], p["percentiles"]) for p in said] == [("percentile", [2, 98]), ("none", [2, 98])]
    for key, value in {"percentiles": [0, 100], "intensity": "hu_window"}.items():
        with pytest.raises(InputError, match=rf"{key} .* was trained with .*; leave it out, or set intensity none"):
            infer_cases(run, tmp_path / "c", {"cohort": str(tiny_cohort), "device": "cpu", key: value})
    assert not (tmp_path / "c").exists()


def test_what_is_no_bundle_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a bundle, it has no configs/train\.json; give a folder such as"):
        train_bundle(tmp_path, "1", [], {})


def test_a_fold_not_trained_yet_is_told_and_the_others_are_mapped(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_folds, run)
    shutil.rmtree(run / "fold_2" / "checkpoints")
    infer_cases(run, tmp_path / "maps", {"cohort": str(tiny_cohort)})
    assert any("no model for fold 2 yet" in message for message in caplog.messages)


def test_patients_a_model_was_trained_on_are_told(
    tiny_run: Path, tiny_cohort: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    def told(split: str) -> str:
        asked = ("--model", tiny_run, "--cohort", tiny_cohort, "--split", split, "--output", tmp_path / split)
        done = cli("infer", *asked, "--set", "device=cpu")
        assert done.exit_code == 0
        return str(done.stderr)

    assert "trained on" not in told("validation")
    said = told("all")
    seen = find_models(tiny_run)[0].about.trained_on
    rows = read_scores(tmp_path / "all" / "scores.csv")
    known = sum(pseudonym(row["patient_id"]) in seen for row in rows)
    assert 0 < known < len(rows)
    assert f"{known} of {len(rows)} cases are of patients that the model was trained on" in said


def test_patients_that_any_model_of_an_ensemble_was_trained_on_are_told(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = find_models(tiny_folds)
    settings = {"cohort": str(tiny_cohort), "split": "all", "ensemble": [str(model.path) for model in others]}
    infer_cases(first.path, tmp_path / "maps", settings)
    seen = {patient for model in (first, *others) for patient in model.about.trained_on}
    assert len(seen) > len(first.about.trained_on)
    assert f"{len(seen)} of 10 cases are of patients" in capsys.readouterr().err


def test_a_run_of_all_folds_takes_no_further_checkpoint(tiny_folds: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    """It would be left out without a word where the folds are an ensemble already."""
    settings = {"cohort": str(tiny_cohort), "ensemble": [str(find_models(tiny_folds)[0].path)]}
    with pytest.raises(InputError, match="is a run of 3 folds already; give one fold's checkpoint"):
        infer_cases(tiny_folds, tmp_path / "maps", settings)


@pytest.mark.parametrize(
    ("members", "split", "says"),
    [
        ((0,), "auto", r"is in the ensemble twice; give it once"),
        ((1,), "auto", r"cohort\.csv: some models of the ensemble were trained on its patients, and no fold is all"),
        ((1, 1), "test", r"is in the ensemble twice; give it once"),
        ((3,), "test", r"--set ensemble: \[3\] is no list of files; give paths of checkpoints"),
    ],
)
def test_an_ensemble_that_cannot_be_is_told(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path, members: tuple[int, ...], split: str, says: str
) -> None:
    models: list[Any] = [str(model.path) for model in find_models(tiny_folds)] + [3]
    settings = {"cohort": str(tiny_cohort), "split": split, "ensemble": [models[member] for member in members]}
    with pytest.raises(InputError, match=says):
        infer_cases(Path(models[0]), tmp_path / "maps", settings)
    assert not (tmp_path / "maps").exists()


def test_one_inference_at_a_time_in_a_folder_and_nothing_of_a_killed_one_is_left(
    tiny_run: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    """Each reads the table of scores when it begins: the second to end would have left out the first one's rows."""
    out = tmp_path / "made" / "maps"
    with alone_in(out):
        with pytest.raises(InputError, match="maps: another run is at work there; wait for it or give another folder"):
            infer_cases(tiny_run, out, {"cohort": str(tiny_cohort)})
        assert len(list(out.iterdir())) == 1, "the lock alone"
    assert not (tmp_path / "made").exists()
    (out / ".writing-x").mkdir(parents=True)
    infer_cases(tiny_run, out, {"cohort": str(tiny_cohort)})
    assert len(read_scores(out / "scores.csv")) == 3
    assert [path.name for path in out.glob(".*")] == []
