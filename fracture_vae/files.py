"""Files written whole or not at all, and content hashes."""

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fracture_vae.errors import InputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is fsynced and renamed over ``path``.

    The temporary name ends in the target's own name, so that writers which look at the suffix
    (``.nii.gz``, ``.csv``) behave as for the target. On an exception it is removed and ``path`` is untouched.

    Raises:
        InputError: when the folder or the file cannot be written, for want of space or permission.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as folder:
            temporary = Path(folder) / target.name
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        _fsync_folder(target.parent)
    except OSError as error:
        if error.strerror is None:
            raise
        raise InputError(f"{target}: cannot be written ({error.strerror}); free the place or give another") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: str | os.PathLike[str], columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table (UTF-8) atomically, a row a mapping; what it lacks is empty, other columns are left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object a file of this package's own holds.

    Raises:
        InputError: when it cannot be read, or is none.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged, it is not JSON; restore the file") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged, it holds no JSON object; restore the file")
    return content


def require_folder(path: str | os.PathLike[str]) -> None:
    """Require that ``path`` is a folder, or that one can be made there; makes nothing.

    Raises:
        InputError: when it, or what it would lie in, is a file or may not be written to.
    """
    place = Path(path).absolute()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not there.is_dir():
        raise InputError(f"{path}: {there} is a file; give a folder")
    if not os.access(there, os.W_OK):
        raise InputError(f"{path}: {there} may not be written to; give another folder")


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _fsync_folder(folder: Path) -> None:
    """Make a rename durable; folders cannot be opened on Windows, where rename is durable by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
