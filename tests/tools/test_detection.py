"""What the detection benchmark measures, and what its page says of it."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from fracture_vae import bundle
from fracture_vae.cohort.case import Case
from fracture_vae.cohort.manifest import read_cohort, write_cohort
from fracture_vae.jobs import training_config, variant_config, variant_configs
from fracture_vae.training.fitting import BASELINES
from fracture_vae.transforms.corruption import build_corruption
from tools.benchmarks import detection_rows
from tools.benchmarks.detection_bench import Bench
from tools.benchmarks.detection_data import MORE_SEEDS, SELECTION_FOLD, detection_cohort, only, wider
from tools.benchmarks.detection_page import page
from tools.benchmarks.detection_rows import DEFAULT, MONAI, TASKS, TRAININGS, rows_of, settings_of

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "vq3d"


def row(name: str, model: str, aurocs: list[float], lead: list[float] | None = None) -> dict[str, Any]:
    by_seed = [
        {"all": {"auroc": [value, value - 0.1, value + 0.1]}, "cpu_seconds": 10.0 * (1 + number)}
        for number, value in enumerate(aurocs)
    ]
    leads = {"default_minus_it": {"all": {"auroc": lead}}} if lead else {}
    return {"row": name, "model": model, "by_seed": by_seed, **leads}


def measured(aurocs: list[float], lead: list[float]) -> dict[str, Any]:
    default = row(DEFAULT["vessel"].name, DEFAULT["vessel"].model, aurocs)
    cases = {"normal": 5, "abnormal": 3, "patients": 8, "anomalous": 0.0}
    about = {"training": 9, "epochs": 2, "cases": {"all": cases}}
    rows = [row("pca", "pca", [0.7], lead), *([default] if aurocs else [])]
    return {"vessel": {**about, "machine": {"cpu": "a processor"}, "rows": rows}}


def shown(aurocs: list[float], lead: list[float]) -> str:
    return page(measured(aurocs, lead))


def test_a_goal_is_reached_by_the_mean_of_the_seeds() -> None:
    assert "**reached** by the default, 0.910 on average over 2 seed(s)" in shown([0.86, 0.96], [0.2, 0.1, 0.3])
    assert "**missed by 0.020** by the default, 0.880 on average over 2 seed(s)" in shown([0.80, 0.96], [0.2, 0.1, 0.3])


def test_baselines_whose_lead_holds_zero_or_is_unknown_are_named() -> None:
    wanted = [one.name for one in rows_of("vessel") if one.model in (*BASELINES, MONAI, "denoising", "denoising_muon")]
    above = shown([0.9], [0.2, 0.1, 0.3])
    assert f"lead in case AUROC is above zero for 1 of {len(wanted)} baselines; not measured yet: volume, " in above
    assert f"is above zero for 0 of {len(wanted)} baselines; not for pca; not" in shown([0.9], [0.2, -0.01, 0.3])


def test_without_the_default_nothing_is_said_of_goals() -> None:
    told = shown([], [0.2, 0.1, 0.3])
    assert "is not measured yet, and no goal is." in told
    assert "reached" not in told


def test_a_row_has_its_interval_its_seeds_and_the_seconds_of_one_training() -> None:
    lines = shown([0.86, 0.96], [0.2, 0.1, 0.3]).splitlines()
    assert "| pca | 0.700 [0.600, 0.800] | 0.700 (1) | +0.200 [+0.100, +0.300] | 10 |" in lines
    assert any("| 0.860 [0.760, 0.960] | 0.910 ± 0.071 (2) |  | 15 |" in line for line in lines)


def test_what_more_abnormal_cases_say_stands_behind_the_task_and_reaches_no_goal() -> None:
    figures = measured([0.8], [0.1, 0.0, 0.2])
    vessel = figures["vessel"]
    vessel["cases"]["wider"] = {**vessel["cases"]["all"], "abnormal": 7}
    for one in vessel["rows"]:
        one["by_seed"] = [{**seed, "wider": {"auroc": [0.95, 0.94, 0.96]}} for seed in one["by_seed"]]
    vessel["rows"][0]["default_minus_it"]["wider"] = {"auroc": [0.25, 0.2, 0.3]}
    own, wider = page(figures).split("over 4 more of the training split")
    assert "**missed by 0.100**" in own
    assert "above zero for 0 of" in own
    assert "0.950" not in own
    assert "| pca | 0.950 [0.940, 0.960] | 0.950 (1) | +0.250 [+0.200, +0.300] | 10 |" in wider
    assert "above zero for 1 of" in wider
    assert "reached" not in wider


def test_beside_a_fold_s_own_stand_the_anomalies_that_nothing_was_chosen_on(tmp_path: Path) -> None:
    rows = [(1, 0), (1, 1), (SELECTION_FOLD, 0), (SELECTION_FOLD, 1), (3, 0), (3, 1), (4, 1)]
    cases = []
    for number, (fold, label) in enumerate(rows):
        image = tmp_path / f"{number}.npy"
        np.save(image, np.zeros((2, 2, 2)))
        cases.append(Case(case_id=f"{number}", patient_id=f"p{number}", image=image, label=label, fold=str(fold)))
    write_cohort(tmp_path / "cohort.csv", cases)
    cohort = read_cohort(tmp_path / "cohort.csv")
    more = wider("vessel", cohort, 1)
    assert [case.fold for case in more.cases] == ["1", "1", "2", "2", "3", "1", "1"]
    assert more.training(1) == cohort.training(1), "models learn from the same"
    assert [case.label for case in only(cohort, more, 1).cases] == [0, 1, None, None, None, None, None]
    assert only(cohort, more, 1).cases[1].fold == "1"


def test_scans_held_out_get_more_anomalies_and_models_learn_from_the_same(tmp_path: Path) -> None:
    images = tmp_path / "data" / "hippocampus" / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(10):
        nib.save(nib.Nifti1Image(rng.random((24, 24, 24), np.float32), np.eye(4)), images / f"h{number}.nii.gz")
    cohort = detection_cohort("hippocampus", tmp_path / "data", tmp_path)
    more = wider("hippocampus", cohort, 1)
    assert (len(cohort.cases), len(more.cases)) == (20, 20 + 2 * len(MORE_SEEDS))
    added = more.cases[20:]
    assert {(case.label, case.fold) for case in added} == {(1, "1")}
    assert {case.patient_id for case in added} == {case.patient_id for case in cohort.cases if case.fold == "1"}
    assert all(case.image.is_file() and case.mask.is_file() for case in added)
    assert more.training(1) == cohort.training(1)
    own = [case.case_id for case in only(cohort, more, 1).cases if case.label == 1]
    assert own == [case.case_id for case in cohort.cases if case.label == 1 and case.fold == "1"]
    assert [case.case_id for case in wider("hippocampus", cohort, 1).cases] == [case.case_id for case in more.cases]


@pytest.mark.parametrize("task", TASKS)
def test_rows_are_of_models_there_are_and_the_default_is_one(task: str) -> None:
    rows = rows_of(task)
    assert DEFAULT[task] in rows
    assert {one.model for one in rows} <= {*TRAININGS, *BASELINES, MONAI}
    assert set(detection_rows.BASELINES) == set(BASELINES), "every baseline is run beside"
    assert len({one.name for one in rows}) == len(rows)


def test_the_default_learns_as_the_bundle_ships_but_for_what_a_task_needs() -> None:
    default = TRAININGS[DEFAULT["hippocampus"].model]
    assert (default.variant, default.settings) == ("head_alone", {})
    learns = {"optimizer", "learning_rate", "lr_schedule", "corruption", "score", "segmentation_loss"}
    assert not learns & {*default.common, *TASKS["hippocampus"], *TASKS["vessel"]}
    assert set(default.by_task["vessel"]) == {"corruption"}
    assert set(default.by_task["hippocampus"]) == {"size"}
    assert all(side % 16 == 0 for side in default.by_task["hippocampus"]["size"]), "as with the VQ-VAE beside it"


def test_trainings_are_of_variants_and_corruptions_there_are() -> None:
    for training in TRAININGS.values():
        if training.variant:
            assert variant_config(BUNDLE, training.variant).is_file()
        for corruption in [own["corruption"] for own in training.by_task.values() if "corruption" in own]:
            assert build_corruption(**corruption).dims


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    bench = Bench("vessel", None, 1, {}, 1, tmp_path)  # type: ignore[arg-type]
    made = [bench._kept("figures", "a, b", {"of": 1}, lambda number=number: {"value": number}) for number in (1, 2)]
    assert made == [{"value": 1}, {"value": 1}]
    assert bench._kept("figures", "a, b", {"of": 2}, lambda: {"value": 3}) == {"value": 3}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_is_given_what_its_config_uses(name: str, task: str) -> None:
    training = TRAININGS[name]
    overlays = variant_configs(BUNDLE, training.variant) if training.variant else ()
    given = {key: value for key, value in settings_of(training, task).items() if key not in training.idle}
    config = bundle.load([training_config(BUNDLE), *overlays])
    bundle.check_overrides(config, {**given, "seed": 0, "cohort": "cohort.csv", "project_dir": "runs"})
