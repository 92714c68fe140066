"""The reconstruction benchmark's arithmetic, by hand on made-up volumes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from fracture_vae.errors import InputError
from fracture_vae.evaluation.baselines import Volumes, mean_template, residuals
from fracture_vae.transforms import Preprocessing
from tools.benchmarks import reconstruction
from tools.benchmarks.baselines import common_grid, median_template, pca_reconstruction
from tools.benchmarks.measures import CaseErrors, case_errors, mean_interval
from tools.benchmarks.reconstruction import (
    MEAN,
    MEDIAN,
    MONAI,
    PCA,
    SETTINGS,
    VQ,
    add_to_report,
    codebook_use,
    compare,
    run_task,
    table,
)
from tools.benchmarks.reconstruction_data import HeldOut, make_cohort, training_arrays


def full(*rows: list[float]) -> Volumes:
    images = np.array(rows, dtype=np.float32)
    return Volumes(images, np.ones(images.shape, dtype=bool))


def held(labels: list[int]) -> HeldOut:
    items = [{"case_id": f"c{index}", "patient_id": f"p{index}", "label": label} for index, label in enumerate(labels)]
    arrays = [np.full((2, 2, 2), 0.1 * (index + 1), np.float32) for index in range(len(labels))]
    return HeldOut(items, arrays)


def errors(*l1: float) -> CaseErrors:
    values = np.array(l1)
    return CaseErrors(values, values**2, values)


def test_the_mean_templates_error_is_the_mean_distance_to_it() -> None:
    train, unseen = full([0, 0, 1, 0.5], [1, 0, 1, 0.5]), full([1, 1, 0, 0.5])
    assert mean_template(train).tolist() == [0.5, 0, 1, 0.5]
    measured = case_errors(residuals(unseen, mean_template(train)))
    assert measured.l1.tolist() == pytest.approx([(0.5 + 1 + 1 + 0) / 4])
    assert measured.l2.tolist() == pytest.approx([(0.25 + 1 + 1 + 0) / 4])
    assert measured.score.tolist() == [1]  # the largest 0.5 % of four voxels is one voxel


def test_only_voxels_inside_a_volume_count() -> None:
    train = common_grid([np.full((2, 1, 1), 0.2, np.float32), np.full((4, 1, 1), 0.6, np.float32)], (4, 1, 1))
    assert train.valid.tolist() == [[False, True, True, False], [True] * 4]
    assert mean_template(train).tolist() == pytest.approx([0.6, 0.4, 0.4, 0.6])
    unseen = common_grid([np.full((2, 1, 1), 0.5, np.float32)], (4, 1, 1))
    assert [row.tolist() for row in residuals(unseen, mean_template(train))] == [pytest.approx([0.1, 0.1])]


def test_the_median_template_is_dark_where_most_volumes_are() -> None:
    train = Volumes(
        np.array([[0, 1, 0.2], [0, 1, 0.4], [1, 0, 0]], np.float32),
        np.array([[True] * 3, [True] * 3, [True, True, False]]),
    )
    assert median_template(train).tolist() == pytest.approx([0, 1, 0.3])


def test_pca_with_as_many_components_as_the_rank_is_exact_in_the_training_volumes_span() -> None:
    rng = np.random.default_rng(0)
    basis = rng.random((3, 20))
    train = full(*(rng.dirichlet(np.ones(3), size=8) @ basis).tolist())  # of rank 2 about their mean
    inside, outside = full(basis.mean(0).tolist()), full((0.5 * basis.mean(0)).tolist())
    assert pca_reconstruction(train, inside, 2) == pytest.approx(inside.images, abs=1e-5)
    assert np.abs(pca_reconstruction(train, outside, 2) - outside.images).max() > 1e-3


def test_pca_does_better_with_more_components_and_stays_in_range() -> None:
    train = full(*np.random.default_rng(1).random((12, 30)).tolist())
    found = [np.abs(pca_reconstruction(train, train, count) - train.images).mean() for count in (1, 4, 11)]
    assert found[0] > found[1] > found[2]
    assert found[2] < 1e-5
    assert 0 <= pca_reconstruction(train, full([2.0] * 30), 4).min() <= pca_reconstruction(train, train, 4).max() <= 1


def test_an_interval_narrows_when_cases_agree_and_draws_whole_patients() -> None:
    assert tuple(mean_interval(np.full(5, 0.25), list("abcde"))) == (0.25, 0.25, 0.25)
    values = np.array([0.0] * 10 + [1.0] * 10)
    apart = mean_interval(values, [str(index) for index in range(20)])
    together = mean_interval(values, ["a"] * 10 + ["b"] * 10)
    assert apart.mean == together.mean == 0.5
    assert (together.low, together.high) == (0, 1)
    assert 0.2 < apart.low < apart.high < 0.8


def test_models_are_compared_case_by_case_over_the_normal_ones() -> None:
    measured = {
        MEAN: errors(0.3, 0.5, 0.9),
        PCA: errors(0.2, 0.4, 0.1),
        VQ: errors(0.1, 0.3, 0.8),
    }
    found = compare(measured, held([0, 0, 1]), seed=0)
    assert found["errors"][VQ]["l1"]["mean"] == pytest.approx(0.2)
    assert found["errors"][VQ]["l2"]["mean"] == pytest.approx(0.05)
    assert found["vq_vae_minus"][MEAN]["l1"] == pytest.approx({"mean": -0.2, "low": -0.2, "high": -0.2})
    assert found["vq_vae_minus"][PCA]["l1"]["mean"] == pytest.approx(-0.1)
    assert {name: value["value"] for name, value in found["auroc"].items()} == {
        MEAN: 1, PCA: 0, VQ: 1, "foreground volume": 1,
    }  # fmt: skip
    assert (found["auroc"][VQ]["normal"], found["auroc"][VQ]["abnormal"]) == (2, 1)


def test_without_abnormal_cases_there_is_no_auroc() -> None:
    assert "auroc" not in compare({VQ: errors(0.1, 0.2), MEAN: errors(0.3, 0.3)}, held([0, 0]), seed=0)


def test_the_codebooks_use_is_the_last_epochs(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,train/codebook_usage,train/perplexity,val/codebook_usage,val/perplexity\n"
        "1,0.1,2,0.1,2\n2,0.95,100,0.9,80\n"
    )
    assert codebook_use(tmp_path, 256) == {
        "num_codes": 256,
        "epoch": 2,
        "training": {"used": 0.95, "perplexity": 100},
        "held_out": {"used": 0.9, "perplexity": 80},
    }


def test_a_tasks_figures_are_added_to_the_report_beside_the_others(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    for task, figures in (("a", {"x": 1}), ("b", {"x": 2}), ("a", {"x": 3})):
        add_to_report(report, task, figures)
    assert json.loads(report.read_text()) == {"a": {"x": 3}, "b": {"x": 2}}


@pytest.fixture
def vessels(tmp_path: Path) -> Path:
    """A folder with twelve training and six validation segments of 8³, every third one abnormal."""
    rng = np.random.default_rng(0)
    file = tmp_path / "data" / "vessel" / "vesselmnist3d_train_val.npz"
    file.parent.mkdir(parents=True)
    content = {}
    for split, count in (("train", 12), ("val", 6)):
        content[f"{split}_images"] = (rng.random((count, 8, 8, 8)) < 0.2).astype(np.uint8) * 255
        content[f"{split}_labels"] = (np.arange(count) % 3 == 2).astype(np.uint8)[:, None]
    np.savez(file, **content)
    return tmp_path / "data"


def test_the_vessel_validation_split_is_held_out_and_only_healthy_ones_train(vessels: Path, tmp_path: Path) -> None:
    cohort = make_cohort("vessel", vessels, tmp_path / "cohort")
    assert {case.case_id[:3] for case in cohort.cases if case.fold == "1"} == {"val"}
    assert [case.label for case in cohort.training(1)] == [0] * 8
    arrays = training_arrays(cohort, 1, Preprocessing("none"))
    assert {value for array in arrays for value in np.unique(array).tolist()} == {0, 1}


def test_data_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"hippocampus/images: no such file or folder; --data is the folder"):
        make_cohort("hippocampus", tmp_path, tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()


def test_a_task_from_data_to_figures(vessels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = dataclasses.replace(
        SETTINGS["vessel"], epochs_per_minute=2, channels=(4, 8), num_codes=8, dim=8, batch_size=4, size=(8, 8, 8)
    )
    monkeypatch.setitem(SETTINGS, "vessel", tiny)
    monkeypatch.setattr(reconstruction, "COMPONENTS", 3)
    monkeypatch.setattr(reconstruction.monai_vqvae, "train", lambda *_: 1.0)
    found = run_task("vessel", vessels, tmp_path / "work", seconds=60, fold=1, seed=0, monai=True)
    assert found["settings"]["max_epochs"] == found["codebook"]["epoch"] == 2
    assert (found["training_volumes"], found["held_out"]) == (8, {"normal": 4, "abnormal": 2})
    assert list(found["errors"]) == [MEAN, MEDIAN, PCA, VQ, MONAI]
    for error in (value for model in found["errors"].values() for value in model.values()):
        assert 0 < error["low"] <= error["mean"] <= error["high"] < 1
    images = np.load(vessels / "vessel" / "vesselmnist3d_train_val.npz")["val_images"][[0, 1, 3, 4]] / 255
    assert found["errors"][MEDIAN]["l1"]["mean"] == pytest.approx(images.mean(), abs=0.05)
    assert set(found["auroc"]) == {*found["errors"], "foreground volume"}
    assert found["monai"]["num_codes"] == 8
    assert all(name in table(found) for name in (*found["errors"], "foreground volume", "codes used"))
