"""One run at a time in a folder, and nothing of a killed one left in it; one change of a table at a time."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fracture_vae.errors import InputError

_LOCK = ".at_work.lock"
_held: set[Path] = set()
_trainings: dict[Path, int] = {}
"""Descriptors of the run folders that this process holds."""


@contextmanager
def alone_in(
    folder: str | os.PathLike[str],
    instead: str = "",
    leftovers: Sequence[str] = (".writing-*",),
    held_before: bool = False,
) -> Iterator[None]:
    """Hold ``folder`` while the block runs, making it if need be, and remove what a killed run was writing there.

    Folders it made and the block left empty are removed. The system lets go of the lock when the process ends, however
    it ends. Where there are no such locks (Windows, some network drives), nothing is held and nothing removed.

    Args:
        folder: the folder.
        instead: what else a message advises, such as ``give another --out``, if anything.
        leftovers: patterns of what a killed run leaves in it.
        held_before: whether this process may hold it already: then it goes on holding it.

    Raises:
        InputError: another run is at work there, or it cannot be written to.
    """
    place = Path(folder).resolve()
    if held_before and place in _held:
        yield
        return
    other = f" or {instead}" if instead else ""
    made = [one for one in (place, *place.parents) if not one.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = _locked(place / _LOCK)
    except BlockingIOError as error:
        raise InputError(f"{folder}: another run is at work there; wait for it{other}") from error
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); make it writable{other}") from error
    _held.add(place)
    try:
        for leftover in [path for pattern in leftovers if lock is not None for path in place.glob(pattern)]:
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        _held.discard(place)
        if lock is not None:
            (place / _LOCK).unlink(missing_ok=True)
            os.close(lock)
        for one in made:
            try:
                one.rmdir()
            except OSError:  # it holds something
                break


@contextmanager
def in_turn(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Wait until no other process is in such a block for ``folder``, which must be there; leaves no file.

    Where there are no such locks (Windows, some network drives), nothing is waited for.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def hold(run: str | os.PathLike[str]) -> None:
    """Hold a run's folder for the training in it, until `let_go` or this process's end; leaves no file.

    Where this process holds it already, it goes on; where there are no such locks, or the folder may not be read,
    nothing is held.

    Raises:
        InputError: another process holds it.
    """
    place = Path(run).resolve()
    try:
        import fcntl
    except ImportError:
        return
    if place in _trainings:
        return
    try:
        descriptor = os.open(place, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InputError(f"{run}: another process is at work on this run; wait for it") from error
    except OSError:
        os.close(descriptor)
        return
    _trainings[place] = descriptor


def let_go(run: str | os.PathLike[str]) -> None:
    """Let go of a run's folder, if this process holds it."""
    descriptor = _trainings.pop(Path(run).resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """Return the descriptor of a locked file, or None where there are no locks.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    if not _is_at(path, descriptor):  # who held it ended just now and removed it; another may hold one made since
        os.close(descriptor)
        raise BlockingIOError
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
