"""Matrices: read from each format alike, standardised by hand, and refused with the place of what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from fracture_vae.cohort.vectors import fit_standard, is_matrix, read_matrix
from fracture_vae.errors import InputError

VALUES = np.array([[0, 1.5, 0], [2, 0, 0], [0, 0, 3], [4, 0, 5]], dtype=np.float32)
KINDS = np.array(["b", "a", "b", "c"])


def write_h5ad(path: Path, x: Any, categorical: bool = True) -> Path:
    """An AnnData file by its on-disk format: https://anndata.readthedocs.io/en/stable/fileformat-prose.html."""
    h5py = pytest.importorskip("h5py", reason="needs h5py (pip install 'fracture-vae[h5ad]')")
    with h5py.File(path, "w") as file:
        if scipy.sparse.issparse(x):
            group = file.create_group("X")
            group.attrs["encoding-type"] = f"{x.format}_matrix"
            group.attrs["shape"] = x.shape
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(x, name)
        else:
            file["X"] = x
        obs = file.create_group("obs")
        obs["_index"] = np.array([b"r0", b"r1", b"r2", b"r3"])
        if categorical:
            kind = obs.create_group("kind")
            kind["categories"] = np.array(["a", "b", "c"], dtype=h5py.string_dtype())
            kind["codes"] = np.array([1, 0, 1, 2], dtype=np.int8)
        else:
            obs["kind"] = KINDS.astype(h5py.string_dtype())
    return path


def test_each_format_gives_the_same_matrix(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    np.savez(tmp_path / "a.npz", data=VALUES, labels=KINDS)
    np.savez(tmp_path / "b.npz", counts=VALUES.astype(np.float64), kind=KINDS)
    assert np.array_equal(read_matrix(tmp_path / "a.npy").values, VALUES)
    assert read_matrix(tmp_path / "a.npy").classes == ("",)
    for found in (read_matrix(tmp_path / "a.npz"), read_matrix(tmp_path / "b.npz", "kind")):
        assert np.array_equal(found.values, VALUES)
        assert found.values.dtype == np.float32
        assert found.labels.tolist() == [1, 0, 1, 2]
        assert found.classes == ("a", "b", "c")


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
@pytest.mark.parametrize("categorical", [True, False])
def test_an_anndata_file_dense_or_sparse(tmp_path: Path, make: Any, categorical: bool) -> None:
    found = read_matrix(write_h5ad(tmp_path / "a.h5ad", make(VALUES), categorical), "kind")
    assert np.array_equal(found.values, VALUES)
    assert found.labels.tolist() == [1, 0, 1, 2]
    assert found.classes == ("a", "b", "c")


def test_standardisations_by_hand() -> None:
    zscore = fit_standard("zscore", np.array([[1, 5], [3, 5]], dtype=np.float32))
    assert zscore(np.array([[5, 6]], dtype=np.float32)).tolist() == [[3.0, 1.0]], "a constant feature is shifted only"
    assert zscore.plain() == {"method": "zscore", "mean": [2.0, 5.0], "deviation": [1.0, 1.0]}
    assert fit_standard("log1p", VALUES)(VALUES)[0, 1] == pytest.approx(np.log(2.5))
    assert fit_standard("log1p", VALUES).plain() == {"method": "log1p"}
    assert fit_standard("none", VALUES)(VALUES) is VALUES
    with pytest.raises(InputError, match="row 0, column 1 is -1"):
        fit_standard("log1p", VALUES)(np.array([[0, -1]], dtype=np.float32))
    with pytest.raises(InputError, match="did you mean 'zscore'"):
        fit_standard("zscor", VALUES)


def bad(folder: Path, kind: str) -> Path:
    """A file that is no matrix of numbers."""
    path = folder / f"{kind}.npy"
    if kind == "absent":
        return path
    if kind in ("cut", "text"):
        path.write_bytes(b"\x93NUMPY\x01\x00" if kind == "cut" else b"1,2,3\n")
        return path
    arrays: dict[str, Any] = {
        "line": np.arange(4.0),
        "cube": np.zeros((2, 2, 2)),
        "strings": KINDS[:, None],
        "complex": np.zeros((2, 2), complex),
        "objects": np.array([[{"a": 1}]], dtype=object),
        "nan": np.array([[0, 1], [np.nan, 2]]),
        "huge": np.array([[0, 1e300]]),
        "no rows": np.zeros((0, 3)),
        "no features": np.zeros((3, 0)),
    }
    np.save(path, arrays[kind], allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("absent", "no such file"),
        ("cut", "cannot be read"),
        ("text", "cannot be read|not loaded"),
        ("line", r"its shape is \(4,\); it must be \(samples, features\)"),
        ("cube", r"its shape is \(2, 2, 2\)"),
        ("strings", "holds <U1, not numbers"),
        ("complex", "holds complex128, not numbers"),
        ("objects", "holds Python objects, which are not loaded"),
        ("nan", r"row 1, column 0 is nan"),
        ("huge", r"row 0, column 1 is 1e\+300"),
        ("no rows", r"is empty, of shape \(0, 3\)"),
        ("no features", r"is empty, of shape \(3, 0\)"),
    ],
)
def test_what_is_no_matrix_is_told_with_its_place(tmp_path: Path, kind: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_matrix(bad(tmp_path, kind))


def test_archives_without_the_matrix_or_with_other_labels_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=VALUES, b=VALUES)
    np.savez(tmp_path / "short.npz", data=VALUES, labels=KINDS[:3])
    np.savez(tmp_path / "objects.npz", data=np.array([[None]]))
    np.save(tmp_path / "plain.npy", VALUES)
    (tmp_path / "no.npz").write_bytes(b"PK\x03\x04 nothing")
    for name, labels, says in (
        ("two.npz", None, "has no array 'data', but a, b"),
        ("short.npz", None, r"labels of shape \(3,\) for 4 rows"),
        ("short.npz", "label", "did you mean 'labels'"),
        ("objects.npz", None, "holds Python objects"),
        ("plain.npy", "kind", "holds a matrix alone"),
        ("no.npz", None, "cannot be read"),
    ):
        with pytest.raises(InputError, match=says):
            read_matrix(tmp_path / name, labels)


def test_unsound_anndata_files_are_told(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py (pip install 'fracture-vae[h5ad]')")
    with pytest.raises(InputError, match=r"obs of .* has kind; did you mean 'kind'"):
        read_matrix(write_h5ad(tmp_path / "a.h5ad", VALUES), "kin")
    (tmp_path / "text.h5ad").write_text("no file of this kind")
    with pytest.raises(InputError, match="no AnnData file"):
        read_matrix(tmp_path / "text.h5ad")
    with h5py.File(tmp_path / "layers.h5ad", "w") as file:
        file["layers"] = VALUES
    with pytest.raises(InputError, match="has no X, but layers"):
        read_matrix(tmp_path / "layers.h5ad")
    outside = scipy.sparse.csr_matrix(VALUES)
    outside.indices[0] = 99
    with pytest.raises(InputError, match="no AnnData file"):
        read_matrix(write_h5ad(tmp_path / "outside.h5ad", outside))


def test_a_matrix_is_known_by_its_ending() -> None:
    assert all(map(is_matrix, ("a.npy", "A.NPZ", "b.h5ad")))
    assert not any(map(is_matrix, ("mnist", "npy", "a.npy.gz")))
