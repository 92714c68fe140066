"""A folder that one run holds: what another is told, and what a killed one leaves."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from fracture_vae.alone import alone_in, hold, in_turn, let_go
from fracture_vae.errors import InputError

pytest.importorskip("fcntl", reason="nothing is held where the system has no such locks")


def hold_folder(folder: Path, held: Any) -> None:
    """Hold a folder until killed, in the middle of a file."""
    with alone_in(folder):
        (folder / ".writing-x").mkdir()
        held.set()
        signal.pause()


def test_a_second_run_is_told_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=hold_folder, args=(tmp_path, held))
    other.start()
    try:
        assert held.wait(60)
        with (
            pytest.raises(InputError, match="another run is at work there; wait for it or give another --out"),
            alone_in(tmp_path, "give another --out"),
        ):
            pass
    finally:
        other.kill()
        other.join()
    assert (tmp_path / ".writing-x").exists()
    with alone_in(tmp_path):
        assert not (tmp_path / ".writing-x").exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_it_made_go_where_nothing_was_written(tmp_path: Path) -> None:
    with alone_in(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with alone_in(tmp_path / "a" / "b"):
        (tmp_path / "a" / "file").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "file"]


def test_one_process_may_hold_a_folder_it_holds_if_it_means_to(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        with alone_in(tmp_path / "a" / "..", held_before=True):
            pass
        with pytest.raises(InputError, match="another run is at work there"), alone_in(tmp_path):
            pass
        assert len(list(tmp_path.iterdir())) == 1, "still held"
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_as_it_was_taken_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder removes it when it ends; who had opened it just before would hold what nobody else sees."""
    import fcntl

    flock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        (path,) = tmp_path.iterdir()
        path.unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(InputError, match="another run is at work there; wait for it"), alone_in(tmp_path):
        pass


def test_where_the_drive_has_no_locks_nothing_is_held_or_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import fcntl

    def none(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / ".writing-x").mkdir()
    with alone_in(tmp_path):
        assert (tmp_path / ".writing-x").exists()


def test_who_comes_second_waits_for_its_turn(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with in_turn(tmp_path):
            order.append("second")

    with in_turn(tmp_path):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def hold_run(run: Path, held: Any) -> None:
    """Hold a run's folder until killed."""
    hold(run)
    held.set()
    signal.pause()


def test_a_run_is_one_process_s_until_it_ends(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=hold_run, args=(tmp_path, held))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(InputError, match="another process is at work on this run; wait for it"):
            hold(tmp_path)
    finally:
        other.kill()
        other.join()
    for _ in range(2):
        hold(tmp_path)
    let_go(tmp_path)
    assert list(tmp_path.iterdir()) == []
