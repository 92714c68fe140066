"""A prior takes the VQ-VAE of its own fold, cohort and preprocessing, and no other."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fracture_vae.calibrating import calibrate_run
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.errors import InputError
from fracture_vae.jobs import infer_cases, resume_run, train_bundle, variant_configs
from fracture_vae.maps.table import read_scores
from fracture_vae.networks import build_network
from fracture_vae.training import with_prior
from fracture_vae.training.checkpoints import best_checkpoint, load, save
from fracture_vae.transforms import Preprocessing

PRIOR = {"layers": 1, "width": 24, "heads": 2}
PLAIN = Preprocessing(intensity="none")


@pytest.fixture(scope="module")
def vqvae(tmp_path_factory: pytest.TempPathFactory, vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path) -> Path:
    """Run folder of a VQ-VAE of fold 1, not to be changed."""
    project = tmp_path_factory.mktemp("vqvae")
    train_bundle(
        vq3d,
        "1",
        variant_configs(vq3d, "reconstruction"),
        {"cohort": str(tiny_cohort), "project_dir": str(project), **tiny},
    )
    return (project / "vq3d" / "latest").resolve()


def prior_run(vq3d: Path, tiny: dict[str, Any], cohort: Path, project: Path, vqvae: Path, **settings: Any) -> Path:
    """Train a prior on fold 1 and return its run folder."""
    fitting = {key: tiny[key] for key in ("max_epochs", "batch_size", "device", "precision", "compile", "progress")}
    places = {"cohort": str(cohort), "project_dir": str(project), "vqvae_checkpoint": str(vqvae)}
    train_bundle(vq3d, "1", variant_configs(vq3d, "prior"), {**fitting, **places, "prior": PRIOR, **settings})
    return (project / "vq3d" / "latest").resolve()


def test_a_trained_prior_holds_its_vqvae_unchanged_and_its_scores_are_inferred(
    vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, vqvae: Path, tmp_path: Path
) -> None:
    run = prior_run(vq3d, tiny, tiny_cohort, tmp_path, vqvae)
    content, before = load(best_checkpoint(run)), load(best_checkpoint(vqvae))
    assert {name: value.tolist() for name, value in before["network"].items()} == {
        name.removeprefix("reconstructor."): value.tolist()
        for name, value in content["network"].items()
        if name.startswith("reconstructor.")
    }
    own, theirs = json.loads(content["about"]), json.loads(before["about"])
    for key in ("fold", "trained_on", "cohort_sha256", "preprocessing", "size"):
        assert own[key] == theirs[key], key
    build_network(**own["network"]).load_state_dict(content["network"])
    for name in ("code_likelihood", "restoration"):
        infer_cases(run, tmp_path / name, {"score": name, "cohort": str(tiny_cohort), "device": "cpu"})
        with (tmp_path / name / "scores.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert rows
        assert all(float(row["score"]) > 0 for row in rows)


def test_a_prior_goes_on_as_if_never_stopped(
    vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, vqvae: Path, tmp_path: Path
) -> None:
    steady = {"lr_schedule": "constant"}
    stopped = prior_run(vq3d, tiny, tiny_cohort, tmp_path / "a", vqvae, max_epochs=1, **steady)
    resume_run(stopped, {"max_epochs": 2})
    whole = prior_run(vq3d, tiny, tiny_cohort, tmp_path / "b", vqvae, max_epochs=2, **steady)
    first, second = (load(folder / "checkpoints" / "last.pt")["network"] for folder in (stopped, whole))
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_of_a_detector_it_takes_the_vqvae(vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, tmp_path: Path) -> None:
    train_bundle(vq3d, "1", [], {"cohort": str(tiny_cohort), "project_dir": str(tmp_path), **tiny, "max_epochs": 1})
    run = (tmp_path / "vq3d" / "latest").resolve()
    found = with_prior(run, read_cohort(tiny_cohort), 1, PLAIN, PRIOR).reconstructor.state_dict()
    trained = load(best_checkpoint(run))["network"]
    assert found
    assert all(torch.equal(value, trained[f"reconstructor.{name}"]) for name, value in found.items())


def test_of_a_run_of_all_folds_it_takes_its_own(tiny_cohort: Path, vqvae: Path, tmp_path: Path) -> None:
    shutil.copytree(vqvae, tmp_path / "fold_1")
    (tmp_path / "fold_2" / "checkpoints").mkdir(parents=True)
    network = with_prior(tmp_path, read_cohort(tiny_cohort), 1, PLAIN, PRIOR)
    expected = load(best_checkpoint(vqvae))["network"]
    found = network.reconstructor.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_priors_of_all_folds_are_calibrated_by_their_default_score(
    vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, tiny_folds: Path, tmp_path: Path
) -> None:
    fitting = {key: tiny[key] for key in ("max_epochs", "batch_size", "device", "precision", "compile", "progress")}
    places = {"cohort": str(tiny_cohort), "project_dir": str(tmp_path), "vqvae_checkpoint": str(tiny_folds)}
    train_bundle(vq3d, "all", variant_configs(vq3d, "prior"), {**fitting, **places, "prior": PRIOR})
    run = (tmp_path / "vq3d" / "latest").resolve()
    fast = {"device": "cpu", "precision": "fp32"}
    calibrate_run(run, None, 0.35, fast)
    infer_cases(run, tmp_path / "maps", {"cohort": str(tiny_cohort), **fast})
    rows = read_scores(tmp_path / "maps" / "scores.csv")
    assert all(0 < float(row["p_value"]) <= 1 for row in rows)
    composed = json.loads(load(best_checkpoint(run / "fold_1"))["about"])["score"]
    assert [part["name"] for part in composed["score"]] == ["code_likelihood"]


def test_models_of_another_fold_cohort_preprocessing_or_kind_are_refused(
    tiny_cohort: Path, vqvae: Path, tmp_path: Path
) -> None:
    cohort = read_cohort(tiny_cohort)
    with pytest.raises(InputError, match="validated on fold 1, this run on fold 2; give the model of this fold"):
        with_prior(vqvae, cohort, 2, PLAIN, PRIOR)
    with pytest.raises(InputError, match="set intensity and its bounds likewise"):
        with_prior(vqvae, cohort, 1, Preprocessing(intensity="percentile"), PRIOR)
    with pytest.raises(InputError, match="vqvae_checkpoint is not set"):
        with_prior(None, cohort, 1, PLAIN, PRIOR)
    other = tmp_path / "cohort.csv"
    shutil.copy(tiny_cohort, other)
    other.write_text(other.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="was trained on another cohort"):
        with_prior(vqvae, replace(cohort, path=other), 1, PLAIN, PRIOR)
    save(tmp_path / "weights.pt", {"network": load(best_checkpoint(vqvae))["network"]})
    with pytest.raises(InputError, match="does not say what network it holds"):
        with_prior(tmp_path / "weights.pt", cohort, 1, PLAIN, PRIOR)
