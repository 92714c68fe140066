"""Run folders as the gallery shows them: whatever of a run is there, and a note on what is not."""

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fracture_vae.errors import InputError
from fracture_vae.files import read_json
from fracture_vae.markup import count
from fracture_vae.report.recorded import settings
from fracture_vae.training.about import is_plain
from fracture_vae.training.final_bound import bound_in
from fracture_vae.training.run_folder import META_FILE, followed

METRICS_FILE, LOG_FILE = "metrics.csv", "log.json"
_RUN_NAME = re.compile(r"\d{8}-\d{3}-.+", re.DOTALL)
_DEEPEST = 4  # folders below a group that are looked into
_MOST_EPOCHS = 10**9


@dataclass(frozen=True)
class Run:
    """A run folder, whole or not.

    Attributes:
        name: where it lies below what was given.
        folder: the run folder.
        rows: metrics.csv by epoch: column to value, which may be no finite number; empty cells are left out.
        meta: run_meta.json, or nothing.
        log: log.json, or nothing.
        notes: what is missing or damaged.
    """

    name: str
    folder: Path
    rows: tuple[Mapping[str, float], ...]
    meta: Mapping[str, Any]
    log: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def config(self) -> Mapping[str, Any]:
        """The config it ran with, expressions not evaluated."""
        config = self.meta.get("config")
        return config if isinstance(config, dict) else {}

    @property
    def state(self) -> str:
        """Either finished or unfinished."""
        return "finished" if self.meta.get("finished") else "unfinished"

    @property
    def epochs(self) -> int:
        """Epochs it has been trained."""
        return int(self.rows[-1]["epoch"]) if self.rows else 0

    @property
    def settings(self) -> dict[str, Any]:
        """What it was trained with: plain values of the config, its network and its objective by name."""
        return settings(self.config, self.meta.get("data"))

    @property
    def bound(self) -> float | None:
        """A VAE's bound on -log p(x), nats a sample, or None."""
        return bound_in(self.log)

    def last(self, column: str) -> float | None:
        """Return the last value of a column, or None."""
        return next((row[column] for row in reversed(self.rows) if column in row), None)


def find_runs(groups: Sequence[Path]) -> list[Run]:
    """Return the runs below ``groups`` in the order of their names; one that is given twice is there once.

    A run is a folder with run_meta.json or metrics.csv, or one named as runs are; of a run of all folds, each fold is
    one. A group may be a run itself.

    Raises:
        InputError: a group that is no folder, or holds no run.
    """
    found: dict[Path, Run] = {}
    for given in groups:
        group = followed(given)
        if not group.is_dir():
            told = "a file; give a folder that holds run folders" if group.is_file() else "no such folder"
            raise InputError(f"{given}: {told}, such as bundles/mnist_vae/runs/mnist_vae")
        folders = list(_run_folders(group, _DEEPEST))
        if not folders:
            raise InputError(
                f"{given}: holds no run (a folder with {META_FILE} or {METRICS_FILE}); give a folder that "
                "fracture-vae train or sweep wrote runs to"
            )
        for folder in folders:
            name = folder.relative_to(group).as_posix() if folder != group else group.resolve().name
            if len(groups) > 1 and folder != group:
                name = f"{group.resolve().name}/{name}"
            found.setdefault(folder.resolve(), read_run(folder, name))
    return list(found.values())


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    inside = _folders(folder)
    begun = any((folder / name).exists() for name in (META_FILE, METRICS_FILE))
    has_folds = any(path.name.startswith("fold_") for path in inside)
    if begun or (_RUN_NAME.fullmatch(folder.name) and not has_folds):
        yield folder
    elif depth:
        for path in inside:
            yield from _run_folders(path, depth - 1)


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, but links (``latest``) and hidden ones; none where it may not be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def read_run(folder: Path, name: str) -> Run:
    """Return what a run folder holds."""
    notes: list[str] = []
    rows = _rows(folder / METRICS_FILE, notes)
    meta = _json(folder / META_FILE, notes)
    finished = bool(meta.get("finished"))
    log = _json(folder / LOG_FILE, notes) if (folder / LOG_FILE).exists() else {}
    if not finished and rows:
        notes.append(_unfinished(folder / METRICS_FILE, int(rows[-1]["epoch"]), meta.get("config")))
    return Run(name, folder, tuple(rows), meta, log, tuple(notes))


def _json(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        notes.append(f"{path.name} is missing.")
        return {}
    try:
        content = read_json(path)
        is_plain(content)  # nothing looks into it deeper
        return content
    except (InputError, RecursionError):
        notes.append(f"{path.name} is damaged.")
        return {}


def _rows(path: Path, notes: list[str]) -> list[dict[str, float]]:
    if not path.is_file():
        notes.append(f"No epoch has been finished ({path.name} is missing).")
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [_numbers(row) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error):
        notes.append(f"{path.name} is damaged.")
        return []
    sound = [row for row in rows if 0 <= row.get("epoch", math.nan) < _MOST_EPOCHS]
    if len(sound) < len(rows) or not sound:
        damaged = count(len(rows) - len(sound), "damaged row")
        notes.append(f"{path.name} has {damaged}." if rows else f"{path.name} is empty.")
    return sound


def _numbers(row: Mapping[Any, Any]) -> dict[str, float]:
    """Return the figures of a row of metrics.csv; nothing of a row that was cut off."""
    found: dict[str, float] = {}
    for column, value in row.items():
        if not isinstance(value, str):
            return {}
        with suppress(ValueError):
            found[column] = float(value)
    return found


def _unfinished(metrics: Path, epoch: int, config: Any) -> str:
    planned = config.get("max_epochs") if isinstance(config, dict) else None
    of = f" of {planned}" if isinstance(planned, int) else ""
    written = datetime.fromtimestamp(metrics.stat().st_mtime, timezone.utc)
    return f"Not finished: still going on, or stopped, after epoch {epoch}{of} ({written:%Y-%m-%d %H:%M} UTC)."
