"""No way of training reads the hold-out, unless a flag says so, and then the log does."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fracture_vae import bundle as bundles
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.cohort.split import split_table
from fracture_vae.errors import InputError, known_cause
from fracture_vae.training import VolumeDataset
from fracture_vae.transforms import Preprocessing

NONE = Preprocessing("none")


@pytest.fixture
def locked(tiny_cohort: Path, tmp_path: Path) -> Path:
    """Three folds of three cases and, in row 11, a locked hold-out patient ptest0."""
    shutil.copytree(tiny_cohort.parent, tmp_path / "cohort")
    split_table(tmp_path / "cohort" / "cohort.csv", folds=3)
    return tmp_path / "cohort" / "cohort.csv"


def give_fold(table: Path, fold: str) -> None:
    """Put the hold-out patient into a fold by hand."""
    text = table.read_text(encoding="utf-8")
    assert text.count(",test,") == 1
    table.write_text(text.replace(",test,", f",{fold},"), encoding="utf-8")


def settings(tiny: dict[str, Any]) -> list[str]:
    return [part for key, value in tiny.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def test_a_data_set_refuses_the_holdout(locked: Path) -> None:
    with pytest.raises(InputError, match=r"1 hold-out case\(s\) \(row 11\) were asked for in training"):
        VolumeDataset(read_cohort(locked).cases, NONE)


def test_a_data_set_takes_the_holdout_when_told_to_and_says_so(locked: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(VolumeDataset(read_cohort(locked).cases, NONE, allow_holdout=True)) == 10
    assert f"reading 1 hold-out case(s) (row 11) of {locked.parent}" in caplog.text
    caplog.clear()
    VolumeDataset(read_cohort(locked).training(1), NONE, allow_holdout=True)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING], "there is none among them"


@pytest.mark.parametrize("key", ["train#dataset#data", "validate#dataset#data"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("training('test')", "hold-out cases (row 11) never train"),
        ("cases", "1 hold-out case(s) (row 11) were asked for in training"),
        ("holdout()", "1 hold-out case(s) (row 11) were asked for in training"),
    ],
)
def test_a_config_that_asks_for_it_is_refused(
    cli: Callable[..., Any], vq3d: Path, tiny: dict[str, Any], locked: Path, tmp_path: Path,
    key: str, data: str, said: str,
) -> None:  # fmt: skip
    asked = ["--set", f"{key}=$@cohort_table.{data}"]
    result = cli("train", vq3d, "--cohort", locked, "--project-dir", tmp_path / "runs", *settings(tiny), *asked)
    assert (result.exit_code, said in result.stderr, "Traceback" in result.stderr) == (2, True, False), result.stderr
    assert not (tmp_path / "runs").exists()


def test_the_bundle_run_on_fold_test_is_refused(vq3d: Path, tiny: dict[str, Any], locked: Path, tmp_path: Path) -> None:
    given = {**tiny, "cohort": str(locked), "fold": "test", "project_dir": str(tmp_path / "runs")}
    with pytest.raises((InputError, RuntimeError)) as caught:  # MONAI wraps what a config raises
        bundles.run([vq3d / "configs" / "train.json"], "training", given)
    assert "--fold: 'test' is not a number" in str(known_cause(caught.value))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("fold", ["1", "2", "all"])
def test_a_table_edited_by_hand_is_refused(
    cli: Callable[..., Any], vq3d: Path, tiny: dict[str, Any], locked: Path, tmp_path: Path, fold: str
) -> None:
    give_fold(locked, "1")
    arguments = ["--cohort", locked, "--fold", fold, "--project-dir", tmp_path / "runs", *settings(tiny)]
    result = cli("train", vq3d, *arguments)
    assert result.exit_code == 2
    assert "row 11 put locked hold-out patient 'ptest0' in fold 1" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_does_not_go_on_with_it_either(
    cli: Callable[..., Any], vq3d: Path, tiny: dict[str, Any], locked: Path, tmp_path: Path
) -> None:
    assert cli("train", vq3d, "--cohort", locked, "--project-dir", tmp_path / "runs", *settings(tiny)).exit_code == 0
    give_fold(locked, "2")
    result = cli("train", "--resume", tmp_path / "runs" / "vq3d" / "latest", "--set", "max_epochs=3")
    assert result.exit_code == 2
    assert "row 11 put locked hold-out patient 'ptest0' in fold 2" in result.stderr


def test_a_flag_in_a_config_is_kept_in_the_run_s_record(
    cli: Callable[..., Any], vq3d: Path, tiny: dict[str, Any], locked: Path, tmp_path: Path
) -> None:
    overlay = tmp_path / "knowingly.json"
    data = "$@cohort_table.cases[:1] + @cohort_table.cases[3:]"
    overlay.write_text(json.dumps({"train#dataset#allow_holdout": True, "train#dataset#data": data}))
    arguments = ["--cohort", locked, "--config", overlay, "--project-dir", tmp_path / "runs", *settings(tiny)]
    result = cli("train", vq3d, *arguments)
    assert result.exit_code == 0, result.stderr
    meta = json.loads((tmp_path / "runs" / "vq3d" / "latest" / "run_meta.json").read_text(encoding="utf-8"))
    assert meta["config"]["train"]["dataset"]["allow_holdout"] is True


def test_inference_on_the_holdout_stays(cli: Callable[..., Any], tiny_run: Path, locked: Path, tmp_path: Path) -> None:
    result = cli("infer", "--model", tiny_run, "--cohort", locked, "--split", "test", "--output", tmp_path / "maps")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "maps" / "ptest0_error.nii.gz").is_file()
