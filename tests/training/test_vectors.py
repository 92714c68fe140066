"""A matrix as a run uses it: every row in one part, standardised by the rows that train, and said in the checkpoint."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.images import LabelledImages
from fracture_vae.errors import InputError
from fracture_vae.jobs import train_bundle, variant_config
from fracture_vae.training import ImageDataset, VectorPlan, open_study
from fracture_vae.training.checkpoints import load
from fracture_vae.training.vectors import open_vectors

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
FEATURES = 28_231


@pytest.fixture
def matrix(tmp_path: Path) -> Callable[..., Path]:
    """``matrix(rows, features)`` writes one whose first column is the row's number, and returns its path."""

    def write(rows: int, features: int = 3, **arrays: Any) -> Path:
        values = np.random.default_rng(0).normal(5, 2, (rows, features)).astype(np.float32)
        values[:, 0] = np.arange(rows)
        np.savez(tmp_path / "m.npz", data=values, **arrays)
        return tmp_path / "m.npz"

    return write


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(3, 60), seed=st.integers(0, 1000))
def test_every_row_is_in_one_part_and_a_seed_says_in_which(
    tmp_path_factory: pytest.TempPathFactory, rows: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("m") / "m.npy"
    np.save(path, np.arange(rows, dtype=np.float32)[:, None])
    plan = VectorPlan(split_seed=seed, output="identity")
    found, again = open_vectors(path, plan), open_vectors(path, plan)
    parts = [part.images[:, 0].tolist() for part in (found.train, found.validate, found.test)]
    assert all(parts)
    assert sorted(chain(*parts)) == list(range(rows))
    assert parts == [part.images[:, 0].tolist() for part in (again.train, again.validate, again.test)]


def test_another_seed_is_another_split(matrix: Callable[..., Path]) -> None:
    path = matrix(60)
    tests = [open_vectors(path, VectorPlan(split_seed=seed, output="identity")).test.images for seed in (0, 1)]
    assert not np.array_equal(*tests)


def test_zscore_is_by_the_training_rows(matrix: Callable[..., Path]) -> None:
    found = open_vectors(matrix(60), VectorPlan("zscore", output="identity"))
    assert found.train.images.mean(0) == pytest.approx(np.zeros(3), abs=1e-5)
    assert found.train.images.std(0) == pytest.approx(np.ones(3), abs=1e-5)
    raw = open_vectors(matrix(60), VectorPlan(output="identity"))
    standard = found.preparation["standard"]
    again = (raw.test.images - np.float32(standard["mean"])) / np.float32(standard["deviation"])
    assert again == pytest.approx(found.test.images, abs=1e-5), "what is recorded does the same to other samples"


def test_vectors_pass_through_the_data_set_as_they_are() -> None:
    values = np.array([[-1.5, 300.0], [2.0, 0.25]], dtype=np.float32)
    batch = ImageDataset(LabelledImages(values, np.array([0, 1]))).batch([1, 0])
    assert torch.equal(batch["image"], torch.tensor([[2.0, 0.25], [-1.5, 300.0]]))
    with pytest.raises(InputError, match="binarize is for images"):
        ImageDataset(LabelledImages(values, np.array([0, 1])), binarize=True)


def test_bits_are_above_the_middle_or_drawn_with_the_value_for_probability() -> None:
    images = np.repeat(np.array([0, 64, 127, 128, 255], np.uint8), 1500).reshape(5, 1, 30, 50)
    data = LabelledImages(images, np.arange(5, dtype=np.uint8))

    def shares(by: str) -> list[float]:
        bits = ImageDataset(data, binarize=True, binarize_by=by).images
        assert set(bits.unique().tolist()) <= {0, 255}
        return (bits / 255).flatten(1).mean(1).tolist()

    assert shares("middle") == [0, 0, 0, 1, 1]
    assert shares("drawn") == pytest.approx([0, 64 / 255, 127 / 255, 128 / 255, 1], abs=0.04)
    assert shares("drawn")[0::4] == [0, 1], "black and white are certain"
    with pytest.raises(InputError, match="binarize_by 'drwn' is not one of middle, drawn; did you mean 'drawn'"):
        ImageDataset(data, binarize=True, binarize_by="drwn")


@pytest.mark.parametrize("variant", ["vectors", "lightweight"])
def test_a_step_on_the_widest_matrix_and_what_its_checkpoint_says(
    matrix: Callable[..., Path], tmp_path: Path, variant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = matrix(6, FEATURES, labels=np.array(list("ababab")))
    overlay = variant_config(BUNDLES / "mnist_vae", variant)
    options = {
        "data": str(path), "standardise": "zscore", "normal": [0], "hidden": [16, 8], "max_epochs": 1, "batch_size": 2,
        "device": "cpu", "precision": "fp32", "compile": False, "progress": False, "save_weights": True, "keep_best": 1,
    }  # fmt: skip
    train_bundle(BUNDLES / "mnist_vae", None, [overlay], {**options, "project_dir": str(tmp_path / "runs")})
    run = (tmp_path / "runs/mnist_vae/latest").resolve()
    assert not (run / "reconstructions").exists()
    assert "vectors have no pictures" in capsys.readouterr().err
    about = json.loads(load(run / "checkpoints" / "last.pt")["about"])
    assert about["network"]["shape"] == [FEATURES]
    assert about["network"]["output"] == "identity"
    assert about["data"]["classes"] == ["a", "b"]
    assert about["data"]["standard"]["method"] == "zscore"
    assert len(about["data"]["standard"]["mean"]) == FEATURES


@pytest.mark.parametrize(
    ("rows", "plan", "says"),
    [
        (2, VectorPlan(output="identity"), "has 2 rows; three are the least"),
        (9, VectorPlan(), "which a sigmoid cannot give; set output identity"),
        (9, VectorPlan(split_seed=-1, output="identity"), "split_seed is -1"),
        (9, VectorPlan("log", output="identity"), "did you mean 'log1p'"),
    ],
)
def test_what_cannot_be_is_told(matrix: Callable[..., Path], rows: int, plan: VectorPlan, says: str) -> None:
    with pytest.raises(InputError, match=says):
        open_study(str(matrix(rows)), "", plan)


def test_images_and_matrices_are_told_apart(matrix: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="this bundle takes images"):
        open_study(str(matrix(9)), "")
    with pytest.raises(InputError, match="standardise and labels are for matrices"):
        open_study("digits", "", VectorPlan("zscore"))
