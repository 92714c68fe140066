"""The command line: quick to answer, thin, and quiet about tracebacks."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from fracture_vae import __version__
from fracture_vae.cli import main
from fracture_vae.cli.models import _parse

COMMANDS = [
    [],
    ["crop"],
    ["prepare"],
    ["fracture"],
    ["inject"],
    ["cohort"],
    ["cohort", "new"],
    ["cohort", "split"],
    ["cohort", "check"],
    ["cohort", "export"],
    ["cohort", "import"],
    ["phantom"],
    ["data"],
    ["train"],
    ["infer"],
    ["calibrate"],
    ["baseline"],
    ["evaluate"],
    ["sheet"],
    ["sweep"],
    ["gallery"],
    ["latent"],
    ["montage"],
    ["plugins"],
]


def test_help_of_every_command_needs_neither_torch_nor_monai() -> None:
    code = f"""
import contextlib, io, json, sys
from fracture_vae.cli import main
for command in {COMMANDS!r}:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            main([*command, "--help"])
        except SystemExit as done:
            assert done.code == 0, command
    assert out.getvalue().startswith("Usage:"), command
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "monai", "ignite", "numpy", "scipy", "nibabel", "matplotlib", "SimpleITK"}
    assert not heavy & set(json.loads(done.stdout))


def test_every_command_is_covered_above() -> None:
    names = set(main.commands) | {"cohort " + name for name in main.commands["cohort"].commands}  # type: ignore[attr-defined]
    assert names == {" ".join(command) for command in COMMANDS if command}


def test_every_option_is_explained() -> None:
    def options(command: click.Command, path: str) -> list[tuple[str, click.Option]]:
        own = [(f"{path} {p.opts[0]}", p) for p in command.params if isinstance(p, click.Option)]
        if isinstance(command, click.Group):
            for name, child in command.commands.items():
                own += options(child, f"{path} {name}")
        return own

    assert [name for name, option in options(main, "fracture-vae") if not option.help] == []


def test_version(cli: Callable[..., Any]) -> None:
    assert __version__ in cli("--version").stdout


def test_settings_are_json_where_they_are_json() -> None:
    assert _parse(["a=1", "b=[4, 8]", "c=true", "d=text", "e#f=x=y", "g=null", "h="]) == {
        "a": 1, "b": [4, 8], "c": True, "d": "text", "e#f": "x=y", "g": None, "h": "",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["fold", "=3"])
def test_a_setting_without_key_or_value_is_refused(cli: Callable[..., Any], vq3d: Path, text: str) -> None:
    result = cli("train", vq3d, "--set", text)
    assert result.exit_code == 2
    assert "is not KEY=VALUE" in result.stderr


def test_debug_shows_the_traceback(cli: Callable[..., Any], tmp_path: Path) -> None:
    plain = cli("cohort", "new", tmp_path / "none")
    assert (plain.exit_code, plain.stderr) == (2, f"Error: {tmp_path / 'none'}: no such folder; check the path\n")
    shown = cli("--debug", "cohort", "new", tmp_path / "none")
    assert type(shown.exception).__name__ == "InputError"


def test_a_mistake_of_ours_is_not_taken_for_the_user_s(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fracture_vae.cohort.folder.cohort_from_folder", broken)
    assert isinstance(cli("cohort", "new", tmp_path).exception, ZeroDivisionError)


def test_an_interrupt_is_told_in_a_line_with_the_status_of_a_signal(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, vq3d: Path
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fracture_vae.jobs.train_bundle", interrupted)
    result = cli("train", vq3d)
    assert result.exit_code == 130
    assert (
        result.stderr == "Error: interrupted; what is written is whole: call it again (a training with --resume RUN)\n"
    )


def test_plugins_lists_what_is_registered_with_its_origin(cli: Callable[..., Any]) -> None:
    result = cli("plugins")
    assert result.exit_code == 0
    for store, name, origin in (
        ("networks", "vqvae", "fracture_vae.networks.vqvae"),
        ("objectives", "vq_reconstruction", "fracture_vae.objectives.vq"),
        ("scores", "l1", "fracture_vae.maps.scores.residuals"),
        ("schedules", "cosine", "fracture_vae.training.schedules"),
    ):
        lines = [line for line in result.stdout.splitlines() if line.split()[:3] == [store, name, origin]]
        assert len(lines) == 1
        assert len(lines[0].split()) > 5, "a description"


def test_from_a_folder_of_volumes_to_maps_and_a_picture(
    cli: Callable[..., Any], vq3d: Path, tiny: dict[str, Any], blob: Callable[..., Path], tmp_path: Path
) -> None:
    for index in range(4):
        blob(tmp_path / "volumes" / f"v{index}.npy", (15, 18, 12), seed=index)
    made = cli("cohort", "new", tmp_path / "volumes", "--folds", 2)
    assert made.exit_code == 0
    assert "4 cases in folds 1, 2" in made.stdout
    cohort = tmp_path / "volumes" / "cohort.csv"
    settings = [text for key, value in tiny.items() for text in ("--set", f"{key}={json.dumps(value)}")]
    trained = cli("train", vq3d, "--cohort", cohort, "--project-dir", tmp_path / "runs", "--name", "mine", *settings)
    assert trained.exit_code == 0, trained.stderr
    run = tmp_path / "runs" / "vq3d" / "latest"
    assert run.resolve().name.endswith("-mine")
    inferred = cli("infer", "--model", run, "--cohort", cohort, "--output", tmp_path / "maps", "--npy")
    assert inferred.exit_code == 0, inferred.stderr
    assert f"maps and scores.csv in {tmp_path / 'maps'}" in inferred.stdout
    drawn = cli("sheet", tmp_path / "maps", "--cohort", cohort)
    assert drawn.exit_code == 0, drawn.stderr
    assert (tmp_path / "maps" / "contact_sheet.png").read_bytes()[:4] == b"\x89PNG"


def test_phantom_makes_the_study_asked_for_and_says_how_easy_it_is(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fracture_vae.cohort import synthetic
    from fracture_vae.evaluation import difficulty

    made: list[Any] = []
    monkeypatch.setattr(synthetic, "make_cohort", lambda folder, plan: made.append(plan) or folder / "cohort.csv")
    monkeypatch.setattr(difficulty, "measure_difficulty", lambda table: f"how easy {table} is")
    result = cli("phantom", "out", "--reference", "--size", "64", "--spacing", "2", "--seed", "3")
    assert result.output.splitlines() == ["out/cohort.csv", "how easy out/cohort.csv is"]
    cli("phantom", "out", "--patients", "7", "--levels", "T11-L1", "--folds", "3", "--fractured", "0.25")
    asked = synthetic.SyntheticCohort(patients=7, levels=("T11", "T12", "L1"), folds=3, fractured=0.25)
    assert made == [synthetic.plan_reference(64, 2.0, 3), synthetic.plan_cohort(asked)]


def test_the_reference_study_decides_its_own_patients(cli: Callable[..., Any], tmp_path: Path) -> None:
    result = cli("phantom", tmp_path / "out", "--reference", "--patients", "3")
    assert result.exit_code == 2
    assert "--reference decides --patients" in result.stderr
    assert not list(tmp_path.iterdir())
