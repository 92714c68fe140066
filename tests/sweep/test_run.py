"""Sweeps of tiny networks on digits, in processes as everybody's: whole, stopped, killed, failed and gone on with."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from PIL import Image

from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.sweep.run import Swept, run_sweep
from fracture_vae.training.checkpoints import load

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "data: digits, limit: 96, max_epochs: 2, batch_size: 32, hidden: [16], device: cpu, precision: fp32, compile: false"
)


def write(folder: Path, text: str, settings: str = SETTINGS, bundle: str = "mnist_vae") -> Path:
    """A sweep of a bundle."""
    file = folder / "s.yaml"
    file.write_text(f"bundle: {ROOT / 'bundles' / bundle}\nsettings: {{{settings}}}\n{text}\n", encoding="utf-8")
    return file


def table(out: Path) -> list[dict[str, str]]:
    """The rows of sweep.csv."""
    with (out / "sweep.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def began(out: Path) -> dict[str, str]:
    """When each run in a folder began."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["started"] + str(path.stat().st_mtime_ns)
        for path in out.glob("2*/run_meta.json")
    }


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Swept]:
    """A sweep's file and what came of it, in the folder ``out`` beside it: two KL weights by two latent sizes."""
    folder = tmp_path_factory.mktemp("grid")
    file = write(folder, "grid: {beta: [0.5, 1e-3], latent: [2, 4]}")
    return file, run_sweep(file, folder / "out", jobs=2)


def test_every_combination_is_a_normal_run_whose_name_shows_it(grid: tuple[Path, Swept]) -> None:
    out = grid[1].out
    names = {path.parent.name[13:] for path in out.glob("2*/run_meta.json")}
    assert names == {f"beta={beta},latent={latent}" for beta in ("0.5", "0.001") for latent in (2, 4)}
    for row in grid[1].rows:
        run = out / row.run
        meta = json.loads((run / "run_meta.json").read_text(encoding="utf-8"))
        assert {"beta": meta["config"]["beta"], "latent": meta["config"]["latent"]} == row.values
        assert (meta["config"]["group"], meta["config"]["run_name"]) == ("out", run.name[13:])
        assert "finished" in meta
        assert (run / "losses.png").is_file()
        assert "running on cpu" in (run / "train.log").read_text(encoding="utf-8")


def test_the_table_s_values_are_those_of_the_runs_log_json(grid: tuple[Path, Swept]) -> None:
    rows = table(grid[1].out)
    assert [(row["beta"], row["latent"]) for row in rows] == [
        ("0.5", "2"),
        ("0.5", "4"),
        ("0.001", "2"),
        ("0.001", "4"),
    ]
    for row in rows:
        log = json.loads((grid[1].out / row["run"] / "log.json").read_text(encoding="utf-8"))
        assert float(row["recon"]) == log["validation"]["recon"]
        assert float(row["kl"]) == log["validation"]["kl"]
        assert float(row["total"]) == log["validation"]["loss"]
        assert float(row["elbo"]) == pytest.approx(-(log["validation"]["recon"] + log["validation"]["kl"]))
        assert float(row["total"]) == pytest.approx(
            float(row["recon"]) + float(row["beta"]) * float(row["kl"]), rel=1e-4
        )
        assert float(row["nll"]) == log["validation"]["nll"] < -float(row["elbo"])
        assert float(row["seconds"]) == log["seconds"]
        with (grid[1].out / row["run"] / "metrics.csv").open(newline="", encoding="utf-8") as file:
            assert float(row["active_units"]) == float(list(csv.DictReader(file))[-1]["val/active_units"])
    page = (grid[1].out / "sweep.md").read_text(encoding="utf-8")
    assert grid[1].table in page
    with Image.open(grid[1].out / "sweep.png") as picture:
        assert picture.size[0] > 600


def test_runs_that_are_whole_are_not_run_again_and_new_ones_join_them(
    grid: tuple[Path, Swept], cli: Callable[..., Any], tmp_path: Path
) -> None:
    file, swept = grid
    before = began(swept.out)
    result = cli("sweep", file, "--out", swept.out, "--jobs", 1)
    assert (result.exit_code, began(swept.out)) == (0, before)
    assert swept.table in result.stdout
    more = run_sweep(write(tmp_path, "grid: {latent: [4, 3], beta: [0.5]}"), swept.out, 1)
    assert [tuple(row.values.values()) for row in more.rows] == [(4, 0.5), (3, 0.5)]
    after = began(swept.out)
    assert {name: when for name, when in after.items() if name in before} == before
    assert len(after) == 5


def test_a_run_that_died_without_a_checkpoint_begins_anew_in_its_folder(grid: tuple[Path, Swept]) -> None:
    file, swept = grid
    run = swept.out / swept.rows[1].run
    meta = json.loads((run / "run_meta.json").read_text(encoding="utf-8"))
    del meta["finished"]
    (run / "run_meta.json").write_text(json.dumps(meta), encoding="utf-8")
    (run / "left").write_text("by the dead", encoding="utf-8")
    again = run_sweep(file, swept.out, 1)
    assert [row.run for row in again.rows] == [row.run for row in swept.rows]
    for row, first in zip(again.rows, swept.rows, strict=True):
        assert {**row.figures, "seconds": 0} == pytest.approx({**first.figures, "seconds": 0}, rel=1e-6)
    assert not (run / "left").exists()


LONG = SETTINGS.replace("max_epochs: 2", "max_epochs: 12") + ", save_weights: true"


def killed_after_a_checkpoint(out: Path) -> threading.Thread:
    """A thread that kills the worker as soon as its run has a checkpoint."""

    def kill() -> None:
        while not list(out.glob("2*/checkpoints/last.pt")):
            time.sleep(0.01)
        for process in active_children():
            os.kill(process.pid or 0, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_killed_worker_is_told_and_its_run_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    file = write(tmp_path, "grid: {beta: [1]}", LONG)
    killer = killed_after_a_checkpoint(out)
    stopped = run_sweep(file, out, 1)
    killer.join()
    assert stopped.rows == ()
    with pytest.raises(PartialFailure, match=r"beta=1: its process died \(signal 9"):
        stopped.raise_failures()
    (run,) = (path.parent for path in out.glob("2*/sweep_run.json"))
    reached = load(run / "checkpoints" / "last.pt")["epoch"]
    assert reached < 12
    (whole,) = run_sweep(file, out, 1).rows
    meta = json.loads((run / "run_meta.json").read_text(encoding="utf-8"))
    assert (whole.run, len(meta["resumed"])) == (run.name, 1)
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as metrics:
        assert [int(row["epoch"]) for row in csv.DictReader(metrics)] == list(range(1, 13))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_a_stopped_sweep_leaves_no_worker_and_nothing_half_written(tmp_path: Path, how: signal.Signals) -> None:
    out = tmp_path / "out"
    file = write(tmp_path, "grid: {beta: [1, 2]}", LONG.replace("max_epochs: 12", "max_epochs: 4000"))
    sweep = subprocess.Popen(
        [sys.executable, "-m", "fracture_vae.cli", "sweep", file, "--out", out, "--jobs", "2"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    while len(list(out.glob("2*/checkpoints/last.pt"))) < 2:
        assert sweep.poll() is None
        time.sleep(0.05)
    os.kill(sweep.pid, how) if how == signal.SIGKILL else os.killpg(sweep.pid, how)  # as a terminal does
    said = sweep.communicate(timeout=60)[1]
    runs = list(out.glob("2*/checkpoints"))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and workers_of(sweep.pid):
        time.sleep(0.05)
    assert workers_of(sweep.pid) == []
    assert [path.name for run in runs for path in run.rglob(".writing-*")] == []
    assert [load(run / "last.pt")["epoch"] > 0 for run in runs] == [True, True]
    if how == signal.SIGINT:
        assert sweep.returncode == 130
        assert "stopping 2 runs; the same command goes on there" in said
        assert said.rstrip().splitlines()[-1].startswith("Error: interrupted; what is written is whole: call it again")
        assert "Traceback" not in said


def workers_of(session: int) -> list[str]:
    """The processes of a session that are at work, but for its leader."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(session)], capture_output=True, text=True, check=False)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [pid for pid, state in rows if int(pid) != session and not state.startswith("Z")]


def test_a_run_that_fails_is_told_in_a_line_and_the_others_are_whole(cli: Callable[..., Any], tmp_path: Path) -> None:
    result = cli("sweep", write(tmp_path, "grid: {latent: [0, 2]}"), "--out", tmp_path / "out", "--jobs", 2)
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: latent=0: latent")
    assert errors[0].endswith("1 other case(s) written")
    assert [row["latent"] for row in table(tmp_path / "out")] == ["2"]
    assert "1 run in" in result.stdout


def test_two_sweeps_do_not_work_in_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".sweep.lock"), pytest.raises(InputError, match="another sweep is at work there"):
        run_sweep(write(tmp_path, "grid: {latent: [2]}"), out, 1)


def test_a_bundle_of_volumes_is_swept_too(tmp_path: Path, tiny: dict[str, Any], tiny_cohort: Path) -> None:
    settings = json.dumps({**tiny, "cohort": str(tiny_cohort), "max_epochs": 1})[1:-1]
    swept = run_sweep(write(tmp_path, "grid: {fold: [1, 3]}", settings, "vq3d"), tmp_path / "out", 2)
    assert [dict(row.values) for row in swept.rows] == [{"fold": 1}, {"fold": 3}]
    assert [set(row.figures) for row in swept.rows] == [{"recon", "total", "seconds"}] * 2
    assert not swept.drawn, "without a KL divergence there is no picture"


SEARCH = (
    "search: {{minimise: val/total_loss, trials: {}, seed: 1, space: "
    "{{beta: {{low: 0.1, high: 4, log: true}}, latent: {{choices: [2, 3]}}}}}}"
)


def test_a_search_tries_what_it_is_told_and_goes_on_with_more_trials(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is an optional extra")
    out = tmp_path / "out"
    first = run_sweep(write(tmp_path, SEARCH.format(2)), out, 1)
    before = began(out)
    assert len(before) == 2
    more = run_sweep(write(tmp_path, SEARCH.format(3)), out, 1)
    assert {name: when for name, when in began(out).items() if name in before} == before
    assert len(began(out)) == 3
    losses = [float(row["val/total_loss"]) for row in table(out)]
    assert losses == sorted(losses), "the best first"
    assert losses == [float(row["total"]) for row in table(out)]
    assert {row.run for row in first.rows} < {row.run for row in more.rows}
    assert all(0.1 <= row.values["beta"] <= 4 and row.values["latent"] in (2, 3) for row in more.rows)
    assert len({row.values["beta"] for row in more.rows}) == 3
    assert all(json.loads(line) for line in (out / "study.log").read_text(encoding="utf-8").splitlines())


def test_a_metric_no_run_has_ends_a_search_with_the_nearest(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="Optuna is an optional extra")
    file = write(tmp_path, SEARCH.format(2).replace("val/total_loss", "val/totl_loss"))
    with pytest.raises(InputError, match=r"has no 'val/totl_loss', but .*did you mean 'val/total_loss'"):
        run_sweep(file, tmp_path / "out", 1)
    assert len(list((tmp_path / "out").glob("2*/run_meta.json"))) == 1, "it does not go on"


def test_a_search_without_optuna_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fracture_vae.sweep.study.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install fracture-vae\[search\]"):
        run_sweep(write(tmp_path, SEARCH.format(2)), tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
