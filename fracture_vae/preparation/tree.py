"""The files below a folder, as the layouts look at them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fracture_vae.cohort.case import absolute
from fracture_vae.errors import InputError

VOLUMES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Folder:
    """A folder, its plain files and its volumes (NIfTI), both sorted by name."""

    path: Path
    files: tuple[Path, ...]
    volumes: tuple[Path, ...]


def walk(source: str | os.PathLike[str]) -> tuple[Folder, ...]:
    """Return SOURCE and all folders below it, sorted by path.

    Links are followed, but no folder is entered twice, so a link to a folder above ends there. Hidden files and
    folders, and with them macOS's ``._name`` files, are passed over.

    Raises:
        InputError: no such folder, or one that may not be read.
    """
    root = absolute(source)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give one that holds scans")
    folders: list[Folder] = []
    seen: set[str] = set()
    for place, inner, names in os.walk(root, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(place)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        files = tuple(Path(place) / name for name in sorted(names) if not name.startswith("."))
        volumes = tuple(file for file in files if file.name.lower().endswith(VOLUMES))
        folders.append(Folder(Path(place), files, volumes))
    return tuple(folders)


def listed(paths: Sequence[Path], root: Path) -> str:
    """Return paths relative to ``root`` for a message, the first three."""
    shown = ", ".join(os.path.relpath(path, root) for path in paths[:3])
    return shown + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror}); give a folder you may read") from error
