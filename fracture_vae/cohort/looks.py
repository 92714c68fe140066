"""Looks at a hold-out: a dated line each, in a file beside the table, so that a second one can't pass for the first.

A hold-out is unseen once. Whoever looks, changes something and looks again has begun to choose on it. Nothing can
forbid that, but it can be told: ``cohort.csv`` has its looks in ``cohort.holdout_looks.jsonl``, a JSON object a line.
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from fracture_vae import __version__
from fracture_vae.cohort.case import absolute
from fracture_vae.errors import InputError

logger = logging.getLogger(__name__)

FILE = "file:"
"""Stands before the hash of a model's file, where nothing says which weights it holds."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One time a hold-out was looked at.

    Args:
        date: UTC, ISO 8601.
        what: ``infer`` or ``evaluate``.
        asked: in words, such as ``split test``.
        cases, patients: how many of the hold-out.
        model: SHA-256 of the model's weights, whatever calibration lies beside them, or `FILE` and its file's; several
            are joined by a blank.
        config: SHA-256 of what configured it.
        output: where the results went.
        version: of this package.
    """

    date: str
    what: str
    asked: str
    cases: int
    patients: int
    model: str
    config: str
    output: str
    version: str

    def __str__(self) -> str:
        names = self.model.split() or ["unknown"]
        model = names[0][:12] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        return f"{self.date} {self.what} ({self.asked}; {self.cases} cases, model {model})"


def looks_path(table: str | os.PathLike[str]) -> Path:
    """Return where the looks at a table's hold-out are written: ``<table's stem>.holdout_looks.jsonl`` beside it."""
    file = absolute(table)
    return file.with_name(f"{file.stem}.holdout_looks.jsonl")


def read_looks(table: str | os.PathLike[str]) -> list[Look]:
    """Return the looks so far, the first first; none where there is no file.

    Raises:
        InputError: a file that cannot be read; it is never taken for no look.
    """
    path = looks_path(table)
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        if not lines:
            raise ValueError("emptied: a record is written with its first line")
        return [_parsed(json.loads(line)) for line in lines]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); it says who looked at the hold-out") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a record of looks at a hold-out, or damaged; restore it from a copy") from error


def _parsed(content: dict[str, str | int]) -> Look:
    if {name: type(value) for name, value in content.items()} != Look.__annotations__:
        raise ValueError("not a look")
    return Look(**content)  # type: ignore[arg-type]


def record_look(
    table: str | os.PathLike[str],
    what: str,
    asked: str,
    patients: Sequence[str],
    *,
    model: str,
    config: str,
    output: str | os.PathLike[str],
    unrecorded: bool = False,
) -> str:
    """Write down a look at the hold-out and return what it is to be told of it: which look it is, and those before.

    Args:
        table: the cohort.csv.
        what, asked, model, config, output: as in `Look`.
        patients: whose each case of the hold-out is that is looked at; where there is none, nothing is written, and
            the text is empty.
        unrecorded: look even where nothing can be written; that is told.

    Raises:
        InputError: the record cannot be read; or it cannot be written, and ``unrecorded`` is not set.
    """
    if not patients:
        return ""
    before = read_looks(table)
    look = Look(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        what=what,
        asked=asked,
        cases=len(patients),
        patients=len(set(patients)),
        model=model,
        config=config,
        output=str(absolute(output)),
        version=__version__,
    )
    path = looks_path(table)
    try:
        _append(path, json.dumps(asdict(look)))
    except OSError as error:
        said = f"{path}: a look at the hold-out ({look}) cannot be recorded ({error.strerror})"
        if not unrecorded:
            raise InputError(f"{said}; make the folder writable, or look unrecorded on purpose") from error
        logger.warning("%s; it is looked at all the same, as asked", said)
        return f"hold-out: UNRECORDED look, {path.name} cannot be written{_earlier(before)}"
    told = f"look {len(before) + 1}" if before else "first look"
    return f"hold-out: {told} at this hold-out{_which(look, before)}; recorded in {path.name}{_earlier(before)}"


def _which(look: Look, before: Sequence[Look]) -> str:
    """Return whether a model of this look has looked before, alone or among others, and how many have."""
    if not before:
        return ""
    own, seen = set(look.model.split()), {name for earlier in before for name in earlier.model.split()}
    count = len(own | seen)
    if own & seen:
        told = "with weights that have looked before"
    elif own and not any(name.startswith(FILE) for name in own):
        told = "the first with these weights"
    else:
        told = "by weights that nothing names"
    return f", {told} ({count} model{'s' if count != 1 else ''} in all)"


def _append(path: Path, line: str) -> None:
    """Append a line with one write, so that two programs at once leave two lines, and see it on the disk.

    An editor may have taken the end of the last line away; it is put back.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        end = b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
        os.write(descriptor, end + f"{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _earlier(before: Sequence[Look]) -> str:
    return "; before: " + " | ".join(map(str, before)) if before else ""
