"""Calibration from end to end: what it writes into checkpoints, what infer makes of it, what it refuses."""

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from fracture_vae.alone import alone_in
from fracture_vae.calibrating import calibrate_run
from fracture_vae.cohort.looks import read_looks
from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.jobs import infer_cases
from fracture_vae.maps.calibration.apply import read_calibrations
from fracture_vae.maps.calibration.conformal import Reference, threshold
from fracture_vae.maps.calibration.stored import KEY
from fracture_vae.maps.model import describe, find_models
from fracture_vae.maps.table import read_scores

FAST = {"device": "cpu", "precision": "fp32"}
ALPHA = 0.35
"""At which 6 normal cases, or a single one of a split fold, allow an alarm or none."""


def infer(model: Path, output: Path, **settings: Any) -> dict[str, dict[str, str]]:
    infer_cases(model, output, {"cohort": None, "images": [], "split": "auto", **FAST, **settings})
    return {row["case_id"]: row for row in read_scores(output / "scores.csv")}


def sidecar(folder: Path, case: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{case}.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def run(tiny_folds: Path, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated run of all three folds, two normal cases each. Not to be changed."""
    run = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(tiny_folds, run)
    calibrate_run(run, None, ALPHA, FAST)
    return run


@pytest.fixture(scope="module")
def maps(run: Path, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's maps of its own cohort, out of fold."""
    folder = tmp_path_factory.mktemp("maps")
    infer(run, folder, cohort=str(tiny_cohort), npy=True)
    return folder


def test_a_calibration_lies_beside_unchanged_weights_and_loads_safely(run: Path, tiny_folds: Path) -> None:
    for model in find_models(run):
        before = torch.load(tiny_folds / model.path.relative_to(run), weights_only=True)
        after = torch.load(model.path, weights_only=True)
        assert set(after) == {*before, KEY}
        assert after["about"] == before["about"]
        assert all(torch.equal(value, after["network"][name]) for name, value in before["network"].items())
        assert {type(value) for value in after[KEY].values()} == {torch.Tensor, str}
        assert not list(model.path.parent.glob(".calibrating-*"))


def test_scores_of_a_fold_s_normals_are_those_infer_finds_under_the_other_folds_moments(run: Path, maps: Path) -> None:
    rows = read_scores(maps / "scores.csv")
    for fold, calibration in zip((1, 2, 3), read_calibrations([m.path for m in find_models(run)]), strict=True):
        own = sorted(float(row["score_z"]) for row in rows if (row["fold"], row["label"]) == (str(fold), "0"))
        assert sorted(calibration.reference.scores.tolist()) == pytest.approx(own, rel=1e-4)
        assert not set(calibration.reference.patients) & set(calibration.shaped_by)


def test_one_threshold_is_stored_told_and_decides(run: Path, maps: Path) -> None:
    """The number in the checkpoint is the sidecar's, is exceeded where a case is flagged, and is what p says."""
    rows = {row["case_id"]: row for row in read_scores(maps / "scores.csv")}
    stored = {f"{fold}": c.threshold for fold, c in enumerate(read_calibrations([m.path for m in find_models(run)]), 1)}
    for name, row in rows.items():
        said = sidecar(maps, name)["calibration"]
        told = np.inf if said["threshold"] is None else said["threshold"]
        assert (told, said["alpha"]) == (stored[row["fold"]], ALPHA)
        assert said["flagged"] == (said["score_z"] > told) == (said["p_value"] <= ALPHA) == (row["flagged"] == "1")
        z = np.load(maps / f"{name}_z.npy", allow_pickle=False)
        assert (z > told).any() >= said["flagged"], "a flagged case has marked voxels"


def test_z_and_p_maps_lie_in_the_image_s_grid_and_p_falls_as_z_rises(maps: Path, tiny_cohort: Path) -> None:
    image = nib.load(tiny_cohort.parent / "p12.nii.gz")
    z, p = (nib.load(maps / f"p12_{kind}.nii.gz") for kind in "zp")
    for map_ in (z, p):
        assert map_.shape == image.shape
        np.testing.assert_allclose(map_.affine, image.affine, atol=1e-5)
        assert "research use only" in map_.header["descrip"].item().decode()
    order = np.argsort(z.get_fdata().ravel())
    assert (np.diff(p.get_fdata().ravel()[order]) <= 1e-7).all()
    assert p.get_fdata().min() >= 1 / 3 - 1e-6, "two healthy cases allow no less"
    assert set(sidecar(maps, "p12")["units"]) == {"error", "signed", "recon", "valid", "z", "p"}


def test_a_new_case_is_ranked_in_every_fold_under_that_fold_s_model(
    run: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    image = tiny_cohort.parent / "ptest0.nii.gz"
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(f"case_id,patient_id,level,label,fold,image\nnew,new,L1,0,,{image}\n", encoding="utf-8")
    together = infer(run, tmp_path / "all", cohort=str(cohort))["new"]
    count = 0
    for model, calibration in zip(find_models(run), read_calibrations([m.path for m in find_models(run)]), strict=True):
        alone = infer(model.path, tmp_path / f"{model.about.fold}", cohort=str(cohort))["new"]
        count += int((calibration.reference.scores >= float(alone["score_z"])).sum())
        assert float(alone["p_value"]) in (pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0)
    assert float(together["p_value"]) == pytest.approx((1 + count) / 7, rel=1e-5)
    assert sidecar(tmp_path / "all", "new")["calibration"]["healthy_cases"] == 6


def test_q_values_are_of_a_patient_s_cases_together(run: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    lines = ["case_id,patient_id,level,label,fold,image"]
    for name, patient in (("p10", "a"), ("p11", "a"), ("p12", "b")):
        lines.append(f"{name},{patient},L1,,,{tiny_cohort.parent / name}.nii.gz")
    (tmp_path / "cohort.csv").write_text("\n".join(lines), encoding="utf-8")
    rows = infer(run, tmp_path / "out", cohort=str(tmp_path / "cohort.csv"))
    p, q = ({name: float(row[key]) for name, row in rows.items()} for key in ("p_case", "q_value"))
    assert q["p12"] == pytest.approx(p["p12"])
    low, high = sorted(("p10", "p11"), key=p.__getitem__)
    assert q[high] == pytest.approx(p[high], rel=1e-5)
    assert q[low] == pytest.approx(min(2 * p[low], p[high]), rel=1e-5)


def test_a_single_fold_is_split_by_patient(tiny_run: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    told = calibrate_run(tmp_path / "run", None, 0.5, FAST)
    assert (told.design, told.cases, told.patients) == ("split", 1, 1)
    (model,) = find_models(tmp_path / "run")
    (calibration,) = read_calibrations([model.path])
    assert len(calibration.shaped_by) == 1
    assert calibration.shaped_by != calibration.reference.patients
    rows = infer(tmp_path / "run", tmp_path / "out", cohort=str(tiny_cohort))
    assert {float(row["p_value"]) for row in rows.values()} <= {0.5, 1.0}


def test_a_bare_checkpoint_needs_its_cohort_and_calibrating_again_replaces(
    tiny_run: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    model = tmp_path / "deep" / "er" / "model.pt"
    model.parent.mkdir(parents=True)
    shutil.copy(find_models(tiny_run)[0].path, model)
    with pytest.raises(InputError, match="does not say which cohort it was trained on; give it with --cohort"):
        calibrate_run(model, None, 0.1, FAST)
    for alpha in (0.1, 0.5):
        calibrate_run(model, tiny_cohort, alpha, FAST)
        assert read_calibrations([model])[0].alpha == alpha


def test_maps_of_another_score_have_no_z(
    run: Path, tiny_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = infer(run / "fold_1", tmp_path / "out", cohort=str(tiny_cohort), score="l2")
    told = capsys.readouterr().err
    assert "no z and p maps" in told
    assert "was calibrated with another score" in told
    assert {row["p_value"] for row in rows.values()} == {""}
    assert not list((tmp_path / "out").glob("*_z.nii.gz"))
    assert sidecar(tmp_path / "out", "p10")["calibration"] is None


def test_calibrated_for_another_score_its_maps_have_z_and_it_is_another_calibration(
    tiny_run: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    studies = []
    for own in ({}, {"score": "l2", "top_fraction": 0.01}):
        calibrate_run(tmp_path / "run", None, 0.5, {**FAST, **own})
        studies += [found.study for found in read_calibrations([find_models(tmp_path / "run")[0].path])]
    assert len(set(studies)) == 2, "folds of the two would not go together, though their alpha is one"
    rows = infer(tmp_path / "run", tmp_path / "out", cohort=str(tiny_cohort), score="l2", top_fraction=0.01)
    assert all(row["p_value"] for row in rows.values())


def test_a_level_nobody_calibrated_is_told_and_its_error_map_is_written(
    run: Path, tiny_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = infer(run / "fold_1", tmp_path / "out", images=[str(tiny_cohort.parent / "p10.nii.gz")])
    assert "p10: no z and p maps: level '' is not among those calibrated (L1)" in capsys.readouterr().err
    assert rows["p10"]["score_z"] == ""
    assert (tmp_path / "out" / "p10_error.nii.gz").is_file()


def test_a_case_of_another_voxel_size_has_no_z(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], blob: Callable[..., Path], table: Callable[..., Path]
) -> None:
    for name, edge in (("same", 1.5), ("other", 3.0)):
        blob(tmp_path / f"{name}.nii.gz", affine=np.diag([edge, 1, 2, 1]))
    names = ("same", "other")
    cohort = table(
        tmp_path / "cohort.csv", [{"case_id": name, "fold": "", "image": f"{name}.nii.gz"} for name in names]
    )
    rows = infer(run, tmp_path / "out", cohort=str(cohort))
    assert [bool(rows[name]["score_z"]) for name in names] == [True, False]
    said = "other: no z and p maps: its voxels of 3×1×2 mm are not of the 1.5×1×2 mm that was calibrated"
    assert said in capsys.readouterr().err


def test_a_calibration_does_not_make_another_model_of_one_that_has_looked(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    cohort = shutil.copytree(tiny_cohort.parent, tmp_path / "cohort") / "cohort.csv"
    run = shutil.copytree(tiny_folds, tmp_path / "run")
    infer(run, tmp_path / "plain", cohort=str(cohort), split="test")
    calibrate_run(run, cohort, ALPHA, FAST)
    infer(run, tmp_path / "calibrated", cohort=str(cohort), split="test")
    *_, first, second = read_looks(cohort)  # other tests have looked at the cohort that is copied
    assert first.model == second.model
    assert first.model.split() == sorted(describe(model.path)["weights"][0] for model in find_models(run))


def test_settings_that_are_refused_are_no_look(tiny_folds: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    cohort = shutil.copytree(tiny_cohort.parent, tmp_path / "cohort") / "cohort.csv"
    before = read_looks(cohort)
    with pytest.raises(InputError, match="bogus"):
        infer(tiny_folds, tmp_path / "out", cohort=str(cohort), split="test", score="bogus")
    assert read_looks(cohort) == before
    assert not (tmp_path / "out").exists()


def test_new_normals_that_look_different_are_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: Callable[..., Path]
) -> None:
    for n in range(6):
        noise = np.random.default_rng(n).random((16, 16, 16)).astype(np.float32)
        nib.save(nib.Nifti1Image(noise, np.diag([1.5, 1, 2, 1])), tmp_path / f"n{n}.nii.gz")
    cohort = table(
        tmp_path / "cohort.csv", [{"case_id": f"n{n}", "fold": "", "image": f"n{n}.nii.gz"} for n in range(6)]
    )
    infer(run, tmp_path / "out", cohort=str(cohort))
    assert "the 6 new patients' normal cases score higher than the 6 calibrated on" in capsys.readouterr().err


def test_what_an_earlier_inference_left_of_refused_cases_is_not_compared(
    run: Path, tmp_path: Path, blob: Callable[..., Path], table: Callable[..., Path]
) -> None:
    """Here it was one model's: it says a score, where the run's three models say three."""
    rows = []
    for n in range(6):
        blob(tmp_path / "images" / f"n{n}.nii.gz", affine=np.diag([1.5, 1, 2, 1]), seed=50 + n)
        rows.append({"case_id": f"n{n}", "fold": "", "image": f"images/n{n}.nii.gz"})
    cohort = table(tmp_path / "cohort.csv", rows)
    infer(find_models(run)[0].path, tmp_path / "out", cohort=str(cohort))
    assert len(sidecar(tmp_path / "out", "n0")["calibration"]["scores_z"]) == 1
    shutil.copytree(tmp_path / "images", tmp_path / "others")
    others = table(tmp_path / "others.csv", [{**row, "image": f"others/{row['case_id']}.nii.gz"} for row in rows])
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(PartialFailure, match=r"scores\.csv has a case n0 of .*; give another output folder"):
        infer(run, tmp_path / "out", cohort=str(others))
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def altered(tiny_cohort: Path, folder: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> Path:
    """The tiny cohort in another folder, its rows changed."""
    shutil.copytree(tiny_cohort.parent, folder)
    rows = [change(row) for row in csv.DictReader((folder / "cohort.csv").open(encoding="utf-8"))]
    with (folder / "cohort.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "cohort.csv"


def moved(row: dict[str, str]) -> dict[str, str]:
    return {**row, "fold": "1"} if row["case_id"] == "p20" else row


def renamed(row: dict[str, str]) -> dict[str, str]:
    return {**row, "patient_id": f"other {row['patient_id']}"}


def without_normals(row: dict[str, str]) -> dict[str, str]:
    return {**row, "label": "1"} if row["fold"] == "1" else row


def at_another_level(row: dict[str, str]) -> dict[str, str]:
    return {**row, "level": "head"} if row["label"] == "1" else row


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (moved, "was trained on patient 'p20', who is in fold 1 now; restore the folds"),
        (renamed, "is not the cohort that"),
        (without_normals, "fold 1 holds no normal case"),
        (at_another_level, "no normal case at level 'head', and no neighbouring level"),
    ],
)
def test_a_cohort_that_does_not_fit_is_refused_and_no_checkpoint_changes(
    tiny_run: Path, tiny_cohort: Path, tmp_path: Path, change: Callable[[dict[str, str]], dict[str, str]], says: str
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    cohort = altered(tiny_cohort, tmp_path / "cohort", change)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.pt")}
    with pytest.raises(InputError, match=says):
        calibrate_run(tmp_path / "run", cohort, 0.1, FAST)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.pt")} == before


def test_folds_calibrated_apart_are_not_put_together(run: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    calibrate_run(tmp_path / "run" / "fold_2", tiny_cohort, 0.1, FAST)
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(
        f"case_id,patient_id,level,label,fold,image\nn,n,L1,0,,{tiny_cohort.parent / 'p10.nii.gz'}\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"fold_2.*not calibrated together"):
        infer(tmp_path / "run", tmp_path / "out", cohort=str(cohort))


def test_a_model_given_twice_would_count_its_healthy_patients_twice(run: Path) -> None:
    first, second = (model.path for model in find_models(run)[:2])
    assert len(read_calibrations([first, second])) == 2
    with pytest.raises(InputError, match=rf"{first.name}: ranks the same healthy patients as another of the ensemble"):
        read_calibrations([first, second, first])


def test_a_run_whose_folds_were_calibrated_apart_writes_nothing(
    run: Path, tiny_cohort: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    shutil.copytree(run, tmp_path / "run")
    last = find_models(tmp_path / "run")[-1].path
    content = torch.load(last, weights_only=True)
    for calibration in ({}, []):
        torch.save({**content, KEY: calibration}, last)
        with pytest.raises(InputError, match=r"fold_3.*its calibration is damaged"):
            infer(tmp_path / "run", tmp_path / "out", cohort=str(tiny_cohort))
    del content[KEY]
    torch.save(content, last)
    with pytest.raises(InputError, match=r"fold_3.*not calibrated together"):
        infer(tmp_path / "run", tmp_path / "out", cohort=str(tiny_cohort))
    assert not (tmp_path / "out").exists()


def test_a_calibration_of_another_model_is_refused(run: Path, tmp_path: Path) -> None:
    one, other = (torch.load(model.path, weights_only=True) for model in find_models(run)[:2])
    torch.save({**one, KEY: other[KEY]}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: its calibration is of another model's weights; run fracture-vae"):
        read_calibrations([tmp_path / "model.pt"])


def test_what_flags_new_cases_is_told_beside_what_flags_the_cohort_s_own(
    tiny_folds: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_folds, tmp_path / "run")
    found = calibrate_run(tmp_path / "run", None, ALPHA, FAST)
    calibrations = read_calibrations([model.path for model in find_models(tmp_path / "run")])
    patients = [patient for own in calibrations for patient in own.reference.patients]
    scores = np.concatenate([own.reference.scores for own in calibrations])
    assert found.together == threshold(Reference(scores, tuple(patients)), ALPHA)
    assert math.isfinite(found.together)
    assert f"new cases, which all folds rank, about {found.together:.2f}; the cohort's own by fold 1 " in str(found)


def test_a_run_without_folds_is_refused(vae_run: Path) -> None:
    with pytest.raises(InputError, match="trained without folds"):
        calibrate_run(vae_run, None, 0.1, {})


@pytest.mark.parametrize(
    "damage",
    [
        {"about": "{"},
        {"scores": torch.zeros(5)},
        {"spread": torch.zeros(1)},
        {"survival": torch.zeros(3)},
        {"about": 3},
    ],
)
def test_a_damaged_calibration_is_told(run: Path, tmp_path: Path, damage: dict[str, Any]) -> None:
    content = torch.load(find_models(run)[0].path, weights_only=True)
    content[KEY] |= damage
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: its calibration is damaged; run fracture-vae calibrate again"):
        read_calibrations([tmp_path / "model.pt"])


def test_the_command_says_what_it_rests_on(tiny_run: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    done = cli("calibrate", tmp_path / "run", "--alpha", 0.5, "--set", "device=cpu")
    assert done.exit_code == 0
    assert (
        "calibrated on 1 normal cases of 1 patients (split); at alpha 0.5 a case is flagged above z: fold 1 "
        in done.stdout
    )
    refused = cli("calibrate", tmp_path / "run", "--alpha", 5)
    assert refused.exit_code == 2
    assert "alpha 5: must lie between 0 and 1" in refused.stderr


def test_one_calibration_at_a_time_and_nothing_of_a_killed_one_is_left(tiny_folds: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folds, tmp_path / "run")
    places = [model.path.parent for model in find_models(tmp_path / "run")]
    (places[0] / ".calibrating-x" / "1").mkdir(parents=True)
    with alone_in(places[2]), pytest.raises(InputError, match=r"fold_3.*another run is at work there; wait for it"):
        calibrate_run(tmp_path / "run", None, ALPHA, FAST)
    assert read_calibrations([model.path for model in find_models(tmp_path / "run")]) == []
    calibrate_run(tmp_path / "run", None, ALPHA, FAST)
    assert [path.name for place in places for path in place.glob(".*")] == []
