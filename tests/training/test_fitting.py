"""Baselines: run folders that go wherever a trained one goes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.jobs import fit_baselines, infer_cases
from fracture_vae.maps.model import find_models
from fracture_vae.maps.table import read_scores
from fracture_vae.training.fitting import BASELINES


def infer(run: Path, cohort: Path, output: Path) -> dict[str, float]:
    infer_cases(run, output, {"cohort": str(cohort), "device": "cpu", "precision": "fp32"})
    return {row["case_id"]: float(row["score"]) for row in read_scores(output / "scores.csv")}


def images(cohort: Path, *names: str) -> list[Any]:
    return [read_volume(cohort.parent / f"{name}.nii.gz").array for name in names]


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_of_all_folds_scores_every_case_out_of_fold(name: str, tiny_cohort: Path, tmp_path: Path) -> None:
    options = {"components": 2} if name == "pca" else {}
    run = fit_baselines(name, tiny_cohort, "all", tmp_path / "runs", options)
    assert (tmp_path / "runs" / "baselines" / "latest").resolve() == run.resolve()
    scores = infer(run, tiny_cohort, tmp_path / "maps")
    assert sorted(scores) == sorted(f"p{fold}{n}" for fold in (1, 2, 3) for n in range(3))
    assert all(json.loads((run / f"fold_{fold}" / "run_meta.json").read_text())["finished"] for fold in (1, 2, 3))
    trained_on = find_models(run)[0].about.trained_on
    assert len(trained_on) == 4, "the normal patients of the other folds"


def test_a_template_s_map_is_the_difference_from_the_mean_of_the_other_folds(tiny_cohort: Path, tmp_path: Path) -> None:
    run = fit_baselines("template", tiny_cohort, "1", tmp_path / "runs", {})
    infer(run, tiny_cohort, tmp_path / "maps")
    mean = np.mean(images(tiny_cohort, "p20", "p21", "p30", "p31"), axis=0)
    (own,) = images(tiny_cohort, "p12")
    shown = read_volume(tmp_path / "maps" / "p12_error.nii.gz").array
    np.testing.assert_allclose(shown, np.abs(own - mean), atol=1e-3)  # volumes are held in float16


def test_intensity_and_volume_are_the_image_s_own(tiny_cohort: Path, tmp_path: Path) -> None:
    (own,) = images(tiny_cohort, "p11")
    scores = {
        name: infer(fit_baselines(name, tiny_cohort, "1", tmp_path, {}), tiny_cohort, tmp_path / name)["p11"]
        for name in ("intensity", "volume")
    }
    largest = np.sort(own.ravel())[-round(0.005 * own.size) :]
    assert scores["intensity"] == pytest.approx(largest.mean(), rel=1e-4)
    assert scores["volume"] == pytest.approx(np.count_nonzero(own > 0), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "fold", "settings", "complaint"),
    [
        ("pca", "²", {}, "fold '²': give a number, or all"),
        ("pac", "1", {}, "no baseline is called 'pac'; did you mean 'pca'"),
        ("pca", "one", {}, "fold 'one': give a number, or all"),
        ("pca", "1", {"component": 3}, "--set component: pca has no such setting; did you mean 'components'"),
        ("template", "1", {"components": 3}, "--set components: template has no such setting"),
        ("pca", "1", {"components": 4}, "4 principal components need more than 4 images"),
        ("pca", "1", {"score": "ssmi"}, "no score is called 'ssmi'"),
        ("template", "1", {"intensity": "hu"}, "intensity 'hu' is not one of"),
        ("template", "9", {}, "no row has fold 9"),
    ],
)
def test_what_cannot_be_fitted_is_told_and_leaves_nothing(
    name: str, fold: str, settings: dict[str, Any], complaint: str, tiny_cohort: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=complaint):
        fit_baselines(name, tiny_cohort, fold, tmp_path / "runs", settings)
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_run_folder(cli: Callable[..., Any], tiny_cohort: Path, tmp_path: Path) -> None:
    done = cli("baseline", "pca", "--cohort", tiny_cohort, "--project-dir", tmp_path, "--set", "components=2")
    assert done.exit_code == 0, done.output
    run = Path(done.stdout.strip())
    assert (run / "checkpoints" / "last.pt").is_file()
    assert find_models(run)[0].about.network == {"name": "pca", "size": [16, 16, 16], "components": 2}
