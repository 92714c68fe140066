"""One run at a time in a cohort's folder, and nothing of a killed one left in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fracture_vae.errors import InputError

_LOCK = ".prepare.lock"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold ``folder`` while the block runs, making it if need be, and remove what a killed run was writing there.

    A folder it made and the block left empty is removed. The system lets go of the lock when the process ends, however
    it ends. Where it has no such locks (Windows),
    nothing is held and nothing removed.

    Raises:
        InputError: another run is at work there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder}: another run is at work there; wait for it or give another --out") from error
        for leftover in [*folder.glob(".writing-*"), *folder.glob("*/.writing-*")]:
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)
        if made and [path.name for path in folder.iterdir()] == [_LOCK]:
            shutil.rmtree(folder)
