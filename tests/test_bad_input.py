"""Bad input is told in one line that names it and what to do; nothing is half-written, no traceback shown.

`tests.bad_rows` is the table: a row is a case, run in a folder of its own through the command line.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bad_inputs import GOOD, Bad, Kit, cut, nifti
from tests.bad_rows import BATTERY, INFER_GOOD, TRAIN_GOOD


def assert_told(result: Any, status: int, *parts: str) -> None:
    """One line of error that says all of ``parts``; no traceback."""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1, result.stderr[-2000:]
    assert result.stderr.rstrip().endswith(errors[0]), "nothing follows it"
    assert errors[0].startswith("Error: ")
    for part in parts:
        assert part in errors[0]
    assert "Traceback" not in result.stderr
    assert (result.exit_code if hasattr(result, "exit_code") else result.returncode) == status


@pytest.fixture
def kit(vq3d: Path, tiny_run: Path, tiny_folds: Path, tiny_cohort: Path, vae_run: Path) -> Kit:
    """The sound things that a bad input is put beside."""
    return {
        "bundle": vq3d,
        "mnist_vae": vq3d.parent / "mnist_vae",
        "mnist_vq": vq3d.parent / "mnist_vq",
        "vae_run": vae_run,
        "run": tiny_run,
        "folds": tiny_folds,
        "cohort": tiny_cohort,
    }


@pytest.fixture
def given(cli: Callable[..., Any], kit: Kit, tiny: dict[str, Any]) -> Callable[[str], Any]:
    """``given(command)`` runs a command of the table."""
    settings = [part for key, value in tiny.items() for part in ("--set", f"{key}={json.dumps(value)}")]

    def run(command: str) -> Any:
        arguments = []
        for word in shlex.split(command):
            whole = word.startswith("{") and word.endswith("}")
            arguments += settings if word == "{tiny}" else [str(kit[word[1:-1]])] if whole else [word]
        return cli(*arguments)

    return run


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("bad", BATTERY, ids=lambda bad: bad.name)
def test_bad_input_is_told_in_a_line_and_nothing_is_left_behind(
    given: Callable[[str], Any], kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: Bad
) -> None:
    monkeypatch.chdir(tmp_path)
    bad.make(tmp_path, kit)
    before = files(tmp_path)
    assert_told(given(bad.command), bad.status, *bad.says)
    assert files(tmp_path) == before


def test_every_row_of_the_table_is_another_case() -> None:
    names = [bad.name for bad in BATTERY]
    assert len(names) == len(set(names)) > 150


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_told(
    given: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fracture_vae.training.tracking.find_spec", lambda _: None)
    assert_told(given(f"{TRAIN_GOOD} --set {package}=true"), 2, f"{package} is switched on but not installed")
    assert not (tmp_path / "runs").exists()


def test_where_every_case_is_bad_each_is_told_and_nothing_is_written(
    given: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = given(f"{INFER_GOOD} --set intensity=hu_window")
    assert result.exit_code == 2
    assert result.stderr.count("set intensity to none") == 3, "once a case"
    assert not (tmp_path / "out").exists()


def test_where_some_cases_are_bad_the_others_are_written_and_the_status_is_1(
    given: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kit: Kit
) -> None:
    monkeypatch.chdir(tmp_path)
    nifti(tmp_path / "a.nii.gz", GOOD)
    cut("b.nii.gz")(tmp_path, kit)
    result = given("infer --model {run} --output out --set device=cpu --image a.nii.gz --image b.nii.gz")
    assert_told(result, 1, "b.nii.gz: damaged", "1 other case(s) written")
    assert {path.name.split("_")[0] for path in (tmp_path / "out").glob("*.nii.gz")} == {"a"}


def test_a_real_process_says_the_same_and_monai_s_own_command_too(
    vq3d: Path, tiny_run: Path, tmp_path: Path, kit: Kit
) -> None:
    cut("a.nii.gz")(tmp_path, kit)
    best = json.loads((tiny_run / "checkpoints" / "best.json").read_text(encoding="utf-8"))[0]["file"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    ours = run("fracture_vae.cli", "infer", "--model", tiny_run, "--output", "out", "--image", "a.nii.gz")
    assert_told(ours, 2, "a.nii.gz: damaged; copy or export it again")
    theirs = run(
        "monai.bundle", "run", "run", "--config_file", vq3d / "configs" / "inference.json",
        "--checkpoint", tiny_run / "checkpoints" / best, "--images", "['a.nii.gz']", "--output_dir", "out",
    )  # fmt: skip
    assert_told(theirs, 2, "a.nii.gz: damaged; copy or export it again")
    assert not (tmp_path / "out").exists()
