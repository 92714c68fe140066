"""Reading a matrix of samples × features from ``.npy``, ``.npz`` or ``.h5ad``, with labels where there are any."""

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.vectors.h5ad import read_h5ad
from fracture_vae.errors import InputError, nearest

MATRIX_ENDS = (".npy", ".npz", ".h5ad")
VALUES, LABELS = "data", "labels"
"""Names of the arrays of an ``.npz``."""


class Matrix(NamedTuple):
    """Samples as rows.

    Attributes:
        values: (N, F) float32, finite.
        labels: (N,) int64, indices into ``classes``; all 0 where the file has none.
        classes: what the labels stand for.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def is_matrix(data: str) -> bool:
    """Return whether ``data`` names a file of this kind, by its ending."""
    return data.lower().endswith(MATRIX_ENDS)


def read_matrix(path: Path, labels: str | None = None) -> Matrix:
    """Return the matrix in ``path``.

    Args:
        path: ``.npy``: the matrix. ``.npz``: the array ``data``, or the only one of two dimensions. ``.h5ad``: ``X``.
        labels: name of the array (``.npz``) or of the column of ``obs`` (``.h5ad``) with a label a row; None takes
            an ``.npz``'s ``labels`` where it has them.

    Raises:
        InputError: a file that is missing, damaged, or holds no finite numbers in two dimensions; pickled objects
            are never loaded.
    """
    if not path.is_file():
        raise InputError(
            f"data {path}: no such file; give a matrix ({', '.join(MATRIX_ENDS)}) or the name of a data set"
        )
    end = path.suffix.lower()
    if end == ".npy":
        if labels is not None:
            raise InputError(f"labels {labels}: {path} holds a matrix alone; put both into an .npz or .h5ad")
        values, found = _load(path), None
    elif end == ".npz":
        values, found = _from_archive(path, labels)
    else:
        values, found = read_h5ad(path, labels)
    return _checked(path, values, found)


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"data {path}: {_why(error)}") from error


def _from_archive(path: Path, labels: str | None) -> tuple[Any, Any]:
    archive = _load(path)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError(f"data {path}: no archive of arrays; save it with numpy.savez(data=…, labels=…)")
    try:
        with archive:
            held = {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"data {path}: {_why(error)}") from error
    name = VALUES if VALUES in held else _only_matrix(path, held)
    wanted = labels if labels is not None else LABELS
    if labels is not None and labels not in held:
        raise InputError(f"labels {labels}: {path} has {', '.join(held)}{nearest(labels, held)}")
    return held[name], held.get(wanted)


def _only_matrix(path: Path, held: dict[str, Any]) -> str:
    matrices = [name for name, array in held.items() if array.ndim == 2]
    if len(matrices) != 1:
        raise InputError(
            f"data {path}: has no array '{VALUES}', but {', '.join(held) or 'nothing'}; save it as '{VALUES}'"
        )
    return matrices[0]


def _why(error: Exception) -> str:
    if "pickle" in str(error).lower():
        return "holds Python objects, which are not loaded; save an array of numbers"
    return f"cannot be read ({' '.join(str(error).split())[:100] or type(error).__name__}); save it again"


def _checked(path: Path, values: Any, labels: Any) -> Matrix:
    if values.dtype.kind not in "biuf":
        raise InputError(f"data {path}: holds {values.dtype}, not numbers; save an array of numbers")
    if values.ndim != 2:
        raise InputError(f"data {path}: its shape is {values.shape}; it must be (samples, features)")
    if not values.size:
        raise InputError(f"data {path}: is empty, of shape {values.shape}")
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(numbers).all():
        row, column = np.argwhere(~np.isfinite(numbers))[0]
        raise InputError(
            f"data {path}: row {row}, column {column} is {values[row, column]} (both from 0); leave such rows out or "
            "fill them, within what float32 holds"
        )
    if labels is None:
        return Matrix(numbers, np.zeros(len(numbers), np.int64), ("",))
    if labels.shape != (len(numbers),):
        raise InputError(f"data {path}: labels of shape {labels.shape} for {len(numbers)} rows; give one a row")
    if labels.dtype.kind not in "biufUS":
        raise InputError(f"data {path}: labels are {labels.dtype}; save numbers or text")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        row = int(np.argmax(np.isnan(labels)))
        raise InputError(f"data {path}: the label of row {row} (from 0) is nan; leave such rows out or fill it")
    classes, codes = np.unique(labels, return_inverse=True)
    return Matrix(numbers, codes.astype(np.int64), tuple(map(str, classes.tolist())))
