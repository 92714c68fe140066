"""Fixtures shared by all tests: real data, and a cohort so small that a bundle trains on it in a blink."""

import csv
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

TINY = {
    "channels": [4, 8],
    "quantizer_options": {"num_codes": 8, "dim": 8},
    "max_epochs": 2,
    "batch_size": 2,
    "device": "cpu",
    "precision": "fp32",
    "compile": False,
    "progress": False,
}
"""Settings of train.json with which 16³ volumes train in a tenth of a second."""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real sample data beside the checkout; the test skips where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real sample data beside the checkout ({folder.name} folder absent)")
    return folder


@pytest.fixture(autouse=True)
def _untouched_process() -> Iterator[None]:
    """Undo what running a bundle in this process leaves: log handlers and the exception hook."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    yield
    sys.excepthook = hook
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def vq3d() -> Path:
    """The bundle."""
    return Path(__file__).resolve().parents[1] / "bundles" / "vq3d"


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Settings of a training that takes a tenth of a second."""
    return dict(TINY)


@pytest.fixture(scope="session")
def blob() -> Callable[..., Path]:
    """``blob(path, shape, affine, seed)`` writes a smooth volume in [0, 1] and returns its path."""

    def write(path: Path, shape: tuple[int, int, int] = (16, 16, 16), affine: Any = None, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij"))
        centre = rng.normal(0, 0.2, 3)[:, None, None, None]
        values = np.exp(-4 * ((grid - centre) ** 2).sum(0)) * 0.9 + 0.05 * rng.random(shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, values.astype(np.float32))
        else:
            nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4) if affine is None else affine), path)
        return path

    return write


@pytest.fixture(scope="session")
def table() -> Callable[..., Path]:
    """``table(path, rows)`` writes rows (dictionaries) as a cohort.csv; missing columns get plain values."""

    def write(path: Path, rows: list[dict[str, Any]]) -> Path:
        usual = {"level": "L1", "label": 0, "fold": 1}
        filled = [{"patient_id": row["case_id"], **usual, **row} for row in rows]
        columns = list(dict.fromkeys(name for row in filled for name in row))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(filled)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_cohort(
    tmp_path_factory: pytest.TempPathFactory, blob: Callable[..., Path], table: Callable[..., Path]
) -> Path:
    """Three folds of two normal cases and an abnormal one (case ``p<fold><n>``, n = 2 abnormal), and a hold-out."""
    folder = tmp_path_factory.mktemp("cohort")
    affine = np.array([[-1.5, 0, 0, 20], [0, -1, 0, 30], [0, 0, 2, -40], [0, 0, 0, 1.0]])  # stored L-P-S
    rows = []
    for index in range(10):
        fold, number = ("test", 0) if index == 9 else (index // 3 + 1, index % 3)
        name = f"p{fold}{number}"
        blob(folder / f"{name}.nii.gz", affine=affine, seed=index)
        rows.append({"case_id": name, "label": int(number == 2), "fold": fold, "image": f"{name}.nii.gz"})
    return table(folder / "cohort.csv", rows)


@pytest.fixture(scope="session")
def train(vq3d: Path, tiny_cohort: Path) -> Callable[..., Path]:
    """``train(project_dir, fold, **settings)`` trains the 3D VQ-VAE, the bundle's variant *reconstruction*.

    It does so in this process and returns the run folder.
    """

    def run(project_dir: Path, fold: str = "1", **settings: Any) -> Path:
        from fracture_vae.jobs import train_bundle, variant_configs

        where = {"cohort": str(tiny_cohort), "project_dir": str(project_dir)}
        train_bundle(vq3d, fold, variant_configs(vq3d, "reconstruction"), {**where, **TINY, **settings})
        return (project_dir / "vq3d" / "latest").resolve()

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, train: Callable[..., Path]) -> Path:
    """A run folder: fold 1, two epochs. Not to be changed."""
    return train(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def tiny_folds(tmp_path_factory: pytest.TempPathFactory, train: Callable[..., Path]) -> Path:
    """A run folder of all three folds, one epoch each. Not to be changed."""
    return train(tmp_path_factory.mktemp("folds"), "all", max_epochs=1)


@pytest.fixture(scope="session")
def train_digits(vq3d: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``train_digits(bundle, **settings)`` trains a 2D bundle on a few digits and returns the run folder."""

    def run(bundle: str, **settings: Any) -> Path:
        from fracture_vae.jobs import train_bundle

        project = tmp_path_factory.mktemp(bundle)
        small = {**TINY, "quantizer_options": {"num_codes": 8, "dim": 4}}
        if bundle != "mnist_vq":
            del small["quantizer_options"], small["channels"]
        usual = {"data": "digits", "limit": 64, "batch_size": 32, "save_weights": True, "project_dir": str(project)}
        train_bundle(vq3d.parent / bundle, None, [], {**small, **usual, **settings})
        return (project / bundle / "latest").resolve()

    return run


@pytest.fixture(scope="session")
def vae_run(train_digits: Callable[..., Path]) -> Path:
    """A run folder with weights: a VAE of two latent dimensions, two epochs. Not to be changed."""
    return train_digits("mnist_vae", latent=2, hidden=[32])


@pytest.fixture
def cli() -> Callable[..., Any]:
    """``cli(*arguments)`` runs ``fracture-vae`` in this process: exit_code, stdout, stderr."""
    from click.testing import CliRunner

    from fracture_vae.cli import main

    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])
