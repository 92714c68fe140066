"""The matrix ``X`` and a column of ``obs`` of an AnnData file, read with h5py.

The layout is anndata's on-disk format (https://anndata.readthedocs.io/en/stable/fileformat-prose.html).
"""

from pathlib import Path
from typing import Any

import numpy as np

from fracture_vae.errors import InputError, nearest

_SPARSE = ("csr_matrix", "csc_matrix")


def read_h5ad(path: Path, labels: str | None) -> tuple[Any, Any]:
    """Return ``X`` (N, F), dense or unfolded from CSR or CSC, and the column ``labels`` of ``obs`` or None.

    Raises:
        InputError: without h5py; a file that is damaged, or has no ``X`` or no such column.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"data {path}: .h5ad needs h5py; pip install 'fracture-vae[h5ad]'") from error
    try:
        with h5py.File(path, "r") as file:
            if "X" not in file:
                raise InputError(f"data {path}: has no X, but {', '.join(file) or 'nothing'}; write it with anndata")
            return _matrix(file["X"], path), None if labels is None else _column(file, labels, path)
    except (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"data {path}: no AnnData file ({reason}); write it again with anndata") from error


def _matrix(stored: Any, path: Path) -> Any:
    if hasattr(stored, "dtype"):
        if stored.shape is None:
            raise InputError(f"data {path}: X is empty; write it again with anndata")
        return stored[()]
    kind = stored.attrs.get("encoding-type", "")
    if kind not in _SPARSE:
        raise InputError(f"data {path}: X is stored as '{kind}'; a dense, csr_matrix or csc_matrix X is read")
    import scipy.sparse

    make = scipy.sparse.csr_matrix if kind == "csr_matrix" else scipy.sparse.csc_matrix
    parts = tuple(stored[name][()] for name in ("data", "indices", "indptr"))
    sparse = make(parts, shape=tuple(int(n) for n in stored.attrs["shape"]))
    sparse.check_format()  # indices that lie outside would be written outside
    return sparse.toarray()


def _column(file: Any, name: str, path: Path) -> Any:
    columns = [key for key in file.get("obs", ()) if not key.startswith("_")]
    if name not in columns:
        raise InputError(
            f"labels {name}: obs of {path} has {', '.join(columns) or 'no columns'}{nearest(name, columns)}"
        )
    stored = file["obs"][name]
    if hasattr(stored, "dtype"):
        return _plain(stored)
    categories, codes = _plain(stored["categories"]), stored["codes"][()]
    if (codes < 0).any():
        raise InputError(f"labels {name}: {path} has none for row {int(np.argmax(codes < 0))} (from 0); fill it")
    return categories[codes]


def _plain(stored: Any) -> Any:
    """Return a dataset's values, text as NumPy's own text."""
    values = stored[()]
    return stored.asstr()[()].astype(str) if values.dtype.kind == "O" else values
