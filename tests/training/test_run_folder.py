"""Run folders: numbered by day, never shared, the newest one pointed at."""

import json
import multiprocessing
import re
from pathlib import Path

import pytest

from fracture_vae.errors import InputError
from fracture_vae.training.run_folder import new_run, point_latest, run_folder


def test_runs_of_a_day_are_numbered_and_latest_leads_to_the_newest(tmp_path: Path) -> None:
    runs = [Path(new_run(tmp_path, "group", name)) for name in ("a", "b", "a")]
    days = {run.name[:8] for run in runs}
    assert [re.sub(r"^\d{8}-", "", run.name) for run in runs] == ["001-a", "002-b", "003-a"] or len(days) > 1
    assert all(run.parent == tmp_path / "group" and run.is_dir() for run in runs)
    assert (tmp_path / "group" / "latest").is_symlink()
    assert (tmp_path / "group" / "latest").resolve() == runs[-1]
    assert not (tmp_path / "group" / "latest").readlink().is_absolute(), "the project folder can be moved"


def _several(folder: str, queue: "multiprocessing.Queue[str]") -> None:
    for _ in range(20):
        queue.put(new_run(folder, "group", "same"))


def test_two_processes_asking_at_once_get_different_folders(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=_several, args=(str(tmp_path), queue)) for _ in range(2)]
    for process in processes:
        process.start()
    runs = [queue.get(timeout=30) for _ in range(40)]
    for process in processes:
        process.join()
    assert len(set(runs)) == 40
    assert (tmp_path / "group" / "latest").resolve().is_dir()


def test_where_links_cannot_be_made_a_text_says_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    point_latest(tmp_path, tmp_path / "20260101-001-a")
    assert (tmp_path / "latest.txt").read_text(encoding="utf-8") == "20260101-001-a\n"


def test_resuming_takes_the_run_that_is_there(tmp_path: Path) -> None:
    run = new_run(tmp_path, "group", "a")
    assert run_folder(tmp_path, "group", "b", resume=run) == run
    assert run_folder(tmp_path, "group", "b", resume=tmp_path / "group" / "latest") == run
    with pytest.raises(InputError, match="no such run folder"):
        run_folder(tmp_path, "group", "b", resume=tmp_path / "none")


@pytest.mark.parametrize("name", ["", "a/b", "../a"])
def test_a_name_that_is_no_folder_s_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="run_name"):
        new_run(tmp_path, "group", name)
    assert not list(tmp_path.iterdir())


def test_a_project_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="file is a file; give a folder"):
        new_run(tmp_path / "file", "group", "a")


def test_run_meta_says_how_the_run_came_about(tiny_run: Path, tiny_cohort: Path) -> None:
    from fracture_vae.files import sha256

    meta = json.loads((tiny_run / "run_meta.json").read_text(encoding="utf-8"))
    assert {"started", "finished", "arguments", "config", "seed", "fold", "versions", "git_revision"} <= set(meta)
    assert meta["config"]["max_epochs"] == 2
    assert meta["config"]["optimizer"] == "Muon", "also what was not overridden"
    assert meta["seed"] == 0
    assert meta["fold"] == 1
    assert meta["cohort"] == {"path": str(tiny_cohort), "sha256": sha256(tiny_cohort)}
    seen = {tiny_cohort.parent / f"{name}.nii.gz" for name in ("p10", "p11", "p20", "p21", "p30", "p31")}
    assert meta["data"] == {str(path): sha256(path) for path in seen}, "normals of the folds, no abnormal, no hold-out"
    assert {"torch", "monai", "python", "fracture-vae"} <= set(meta["versions"])
    assert (tiny_run / "bundle" / "configs" / "train.json").is_file()
    assert (tiny_run / "bundle" / "LICENSE").is_file()
