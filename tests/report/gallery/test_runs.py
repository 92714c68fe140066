"""Finding run folders, and reading whatever of them is there."""

import math
import os
from pathlib import Path
from typing import Any

import pytest

from fracture_vae.errors import InputError
from fracture_vae.report.gallery.record import record
from fracture_vae.report.gallery.runs import Run, find_runs, read_run
from fracture_vae.report.recorded import differing


def written(folder: Path, table: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(table, encoding="utf-8")
    return folder


def test_runs_are_found_once_and_links_to_them_are_not_runs(runs: Path) -> None:
    assert (runs / "latest").exists()
    found = find_runs([runs])
    assert [run.name.split("-")[-1] for run in found] == ["vae", "ae", "vq"]
    assert find_runs([runs, runs / "latest"])[-1].name == f"runs/{found[-1].name}"
    assert len(find_runs([runs, runs / "latest", runs.parent])) == 3


def test_a_run_itself_is_a_group_of_one(vae: Path) -> None:
    (run,) = find_runs([vae])
    assert run.name == vae.name
    assert (run.state, run.epochs, run.notes) == ("finished", 2, ())


def test_each_fold_of_a_run_of_all_folds_is_a_run(tmp_path: Path) -> None:
    for fold in (1, 2):
        written(tmp_path / "20260101-001-all_folds" / f"fold_{fold}", "epoch\n1\n")
    assert [run.name for run in find_runs([tmp_path])] == [
        "20260101-001-all_folds/fold_1", "20260101-001-all_folds/fold_2",
    ]  # fmt: skip


def test_what_is_missing_or_damaged_is_noted(broken_runs: Path) -> None:
    begun, going, damaged, evil = find_runs([broken_runs])
    assert begun.notes == ("No epoch has been finished (metrics.csv is missing).", "run_meta.json is missing.")
    assert len(going.notes) == 1
    assert going.notes[0].startswith("Not finished: still going on, or stopped, after epoch 2 of 2 (20")
    assert damaged.notes == ("metrics.csv is damaged.", "run_meta.json is damaged.", "log.json is damaged.")
    assert evil.epochs == 2


def test_a_row_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    run = read_run(written(tmp_path / "a", "epoch,seconds,val/recon_loss\n1,0.5,153.25\n2,0.5,14"), "a")
    assert [dict(row) for row in run.rows] == [
        {"epoch": 1, "seconds": 0.5, "val/recon_loss": 153.25}, {"epoch": 2, "seconds": 0.5, "val/recon_loss": 14},
    ]  # fmt: skip
    cut = read_run(written(tmp_path / "b", "epoch,seconds,val/recon_loss\n1,0.5,153.25\n2,0.5"), "b")
    assert cut.last("val/recon_loss") == 153.25
    assert "metrics.csv has 1 damaged row." in cut.notes


def test_an_epoch_that_is_none_makes_a_damaged_row(tmp_path: Path) -> None:
    run = read_run(written(tmp_path / "a", "epoch,val/kl_loss\n1,3.5\n1e300,4\nnan,5\n-1,6\nx,7\n"), "a")
    assert run.rows == ({"epoch": 1, "val/kl_loss": 3.5},)
    assert "metrics.csv has 4 damaged rows." in run.notes


def test_the_last_value_is_that_of_the_last_validation(tmp_path: Path) -> None:
    run = read_run(written(tmp_path / "a", "epoch,val/kl_loss\n1,3.5\n2,\n3,nan\n4,\n"), "a")
    assert math.isnan(run.last("val/kl_loss") or 0)
    assert run.last("val/total_loss") is None
    assert run.epochs == 4


def test_the_settings_that_differ_are_told_by_name(runs: Path) -> None:
    found = find_runs([runs])
    keys = differing([run.settings for run in found])
    assert {"latent", "network", "objective", "max_epochs"} <= set(keys)
    assert not {"prior", "quantizer", "penalty"} & set(keys), "which one bundle alone has"
    assert not {"run_name", "project_dir", "seed", "data", "train", "_help_"} & set(keys)
    assert [run.settings["network"] for run in found] == ["vae", "autoencoder", "vqvae"]
    assert differing([run.settings for run in found[:1]]) == []


def test_what_some_runs_do_not_have_is_no_difference_and_the_data_is_what_was_had() -> None:
    configs: list[dict[str, Any]] = [
        {"data": "mnist", "normal": None},
        {"data": "mnist"},
        {"data": "$x", "normal": [3]},
    ]
    found = [Run("a", Path("a"), (), {"config": own, "data": {"name": "digits"}}, {}, ()) for own in configs]
    assert differing([run.settings for run in found[:2]]) == []
    assert differing([run.settings for run in found]) == ["normal"]
    assert {run.settings["data"] for run in found} == {"digits"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", "no such folder"),
        ("file", "a file; give a folder"),
        ("empty", "holds no run"),
        ("other", "holds no run"),
    ],
)
def test_a_group_without_runs_is_told(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "pictures").mkdir(parents=True)
    with pytest.raises(InputError, match=f"{name}: {says}"):
        find_runs([tmp_path / name])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "20260101-001-pipe"
    folder.mkdir()
    os.mkfifo(folder / "metrics.csv")
    os.mkfifo(folder / "run_meta.json")
    (run,) = find_runs([tmp_path])
    assert len(run.notes) == 2


@pytest.mark.parametrize(("likelihood", "told"), [("gaussian", "but for the Gaussian"), ("bernoulli_logits", "")])
def test_a_bound_says_what_it_leaves_out(likelihood: str, told: str) -> None:
    meta = {"config": {"likelihood": likelihood, "nll_samples": 50}}
    run = Run("a", Path("a"), (), meta, {"validation": {"nll": 25.716}}, ())
    assert "25.72 nats, of 50 draws" in record(run)
    assert ("Gaussian" in record(run)) == bool(told)
    assert told in record(run)
