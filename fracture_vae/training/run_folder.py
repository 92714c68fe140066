"""One folder a run: where it goes, and the record of how it came about."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import date, datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from fracture_vae.alone import hold
from fracture_vae.cohort.manifest import Cohort
from fracture_vae.errors import InputError
from fracture_vae.files import read_json, require_folder, sha256, write_text

PACKAGES = ("fracture-vae", "monai", "torch", "pytorch-ignite", "nibabel", "SimpleITK", "numpy", "scikit-image")
META_FILE = "run_meta.json"
BUNDLE_COPY = "bundle"
"""Folder in a run that holds the configs of the bundle that made it, so that the run explains itself."""
RESOLVED_CONFIG = f"{BUNDLE_COPY}/configs/resolved.json"
"""Where in a run the config it ran with is, overrides in place."""

_LONGEST_NAME = 200
"""Bytes of a name: file systems take 255, and the day and the number stand before it."""


def run_folder(
    project_dir: str | os.PathLike[str], group: str, name: str, resume: str | os.PathLike[str] | None = None
) -> str:
    """Return the folder of the run to ``resume``, or of a new one; the same on every process that trains together.

    Raises:
        InputError: when there is no such run to resume, or ``name`` is no plain folder name.
    """
    if resume is not None:
        if not Path(resume).is_dir():
            raise InputError(f"resume {resume}: no such run folder")
        return str(Path(resume).resolve())
    made = new_run(project_dir, group, name) if idist.get_rank() == 0 else ""
    return str(idist.broadcast(made, src=0, safe_mode=True)) if idist.get_world_size() > 1 else made


def new_run(project_dir: str | os.PathLike[str], group: str, name: str) -> str:
    """Make ``<project_dir>/<group>/<YYYYMMDD-NNN-name>/`` with the day's next number, and point ``latest`` at it.

    Raises:
        InputError: when ``name`` or ``group`` is no plain folder name or too long, or ``project_dir`` cannot hold
            folders.
    """
    for setting, value in (("run_name", name), ("group", group)):
        if Path(value).name != value or value in ("", "..") or not value.isprintable():
            raise InputError(f"{setting} '{value}': give a plain name without '/'")
        if len(os.fsencode(value)) > _LONGEST_NAME:
            raise InputError(f"{setting} '{value[:20]}…': is longer than {_LONGEST_NAME} bytes; give a shorter name")
    parent = Path(project_dir).expanduser().resolve() / group
    require_folder(parent)
    parent.mkdir(parents=True, exist_ok=True)
    today = date.today().strftime("%Y%m%d")
    number = 1 + max((int(folder.name[9:12]) for folder in parent.glob(f"{today}-[0-9][0-9][0-9]-*")), default=0)
    while True:
        run = parent / f"{today}-{number:03d}-{name}"
        try:
            run.mkdir()
            break
        except FileExistsError:  # another process took the number
            number += 1
    point_latest(parent, run)
    return str(run)


def point_latest(parent: Path, run: Path) -> None:
    """Let ``parent/latest`` lead to ``run``: a symlink, or ``latest.txt`` where links cannot be made."""
    temporary = parent / f".latest-{os.getpid()}"
    try:
        temporary.symlink_to(run.name, target_is_directory=True)
        temporary.replace(parent / "latest")
    except OSError:
        temporary.unlink(missing_ok=True)
        write_text(parent / "latest.txt", run.name + "\n")


def followed(path: Path) -> Path:
    """Return where ``…/latest`` leads on a system without links, and any other path as it is."""
    if path.name != "latest" or path.exists() or not path.with_name("latest.txt").is_file():
        return path
    return path.parent / path.with_name("latest.txt").read_text(encoding="utf-8", errors="replace").strip()


def discard_empty(run: Path) -> None:
    """Remove ``run`` if nothing was written to it, and let ``latest`` lead to the run before.

    Where there is none before, the folders it lies in go as far as they are empty: they were made with it.
    """
    if any(run.iterdir()):
        return
    run.rmdir()
    latest = run.parent / "latest"
    if latest.is_symlink() and not latest.exists():
        latest.unlink()
        if runs := sorted(folder for folder in run.parent.iterdir() if folder.is_dir()):
            point_latest(run.parent, runs[-1])
    for folder in (run.parent, run.parent.parent):
        try:
            folder.rmdir()
        except OSError:  # it holds something
            break


def write_meta(
    run_dir: str | os.PathLike[str],
    bundle_root: str | os.PathLike[str],
    config: Mapping[str, Any],
    cohort: Cohort,
    fold: int,
    acceleration: object,
) -> None:
    """Record how a run on a cohort came about; see :func:`write_record`."""
    if idist.get_rank() > 0:
        return
    data = {
        "fold": fold,
        "cohort": {"path": str(cohort.path), "sha256": sha256(cohort.path)},
        "data": {str(case.image): sha256(case.image) for case in (*cohort.training(fold), *cohort.validation(fold))},
    }
    write_record(run_dir, bundle_root, {**config, "cohort": str(cohort.path), "fold": fold}, data, acceleration)


def write_record(
    run_dir: str | os.PathLike[str],
    bundle_root: str | os.PathLike[str],
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    acceleration: object,
) -> None:
    """Record how a run came about; ``data`` (plain values) says what it was trained on.

    ``run_meta.json`` holds the arguments, the resolved config, versions, git revision, data hashes and seed;
    ``bundle/`` is a copy of the bundle's configs and licence, with the resolved config among them: a run that is
    resumed starts from that, wherever it is resumed. From here on the run's folder is held, and rid of what a killed
    process was writing in it.

    Raises:
        InputError: another process is at work on the run.
    """
    if idist.get_rank() > 0:
        return
    Path(run_dir).mkdir(parents=True, exist_ok=True)
    hold(run_dir)
    for leftover in list(Path(run_dir).glob("**/.writing-*")):
        shutil.rmtree(leftover, ignore_errors=True)
    config = {**config, "resume": None}
    meta = {
        "started": now(),
        "arguments": sys.argv,
        "config": config,
        "seed": config.get("seed"),
        "acceleration": str(acceleration),
        "versions": versions(),
        "git_revision": git_revision(),
        **data,
    }
    path = Path(run_dir) / META_FILE
    if path.is_file():  # a run that goes on keeps the record of how it began
        began = read_json(path)
        began.pop("finished", None)
        before = began.get("resumed", [])
        meta = {**began, "resumed": [*(before if isinstance(before, list) else []), meta]}
    write_text(path, json.dumps(meta, indent=2) + "\n")
    copy = Path(run_dir) / BUNDLE_COPY
    if not (copy.exists() and copy.samefile(bundle_root)):
        _copy_bundle(Path(bundle_root), copy)
    write_text(Path(run_dir) / RESOLVED_CONFIG, json.dumps(config, indent=2) + "\n")


def finished(run: str | os.PathLike[str]) -> bool:
    """Return whether the run in the folder ``run`` came to its end."""
    meta = Path(run) / META_FILE
    return meta.is_file() and "finished" in read_json(meta)


def _copy_bundle(bundle: Path, copy: Path) -> None:
    for part in ("configs", "docs"):
        if (bundle / part).is_dir():
            shutil.copytree(bundle / part, copy / part, dirs_exist_ok=True)
    if (bundle / "LICENSE").is_file():
        shutil.copy(bundle / "LICENSE", copy)


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions of Python, the platform and the packages a result depends on."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_threads": str(torch.get_num_threads()),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def git_revision() -> str:
    """Return the revision of the checkout this package runs from, ``-dirty`` if changed, or an empty string."""
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()
