"""Measure what detects: objectives and scores against baselines, on real data, from healthy scans alone.

    python -m tools.benchmarks.detection --data DATA --out docs/results_detection.json

DATA holds hippocampus/images/*.nii.gz (Medical Segmentation Decathlon, Task04) and
vessel/vesselmnist3d_train_val.npz (MedMNIST v2). Networks are trained, run and evaluated by the package's own jobs, all
for the same number of epochs; the last epoch's weights are measured, so that the held-out cases choose nothing.
``--select`` looks at another fold and other anomalies instead: compositions are chosen there.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fracture_vae.cohort.manifest import Cohort
from fracture_vae.evaluation.evaluate import Evaluation, evaluate
from fracture_vae.evaluation.resampling import Estimate
from fracture_vae.files import write_text
from fracture_vae.jobs import BUNDLES, VARIANTS, fit_baselines, infer_cases, train_bundle
from fracture_vae.training.fitting import BASELINES
from fracture_vae.training.run_folder import git_revision, versions
from tools.benchmarks.detection_data import SELECTION_FOLD, SELECTION_SEED, TEST_FOLD, TEST_SEED, detection_cohort
from tools.benchmarks.detection_monai import monai_maps
from tools.benchmarks.detection_page import page
from tools.benchmarks.detection_rows import COMMON, MONAI, ROWS, TASKS, TRAININGS, Row
from tools.benchmarks.timing import machine

MEASURES = ("auroc", "voxel_average_precision")
DEFAULT = ROWS[-1]
"""What all other rows are compared with, in pairs."""


class Bench:
    """One task and seed: models are made once, maps once for each row."""

    def __init__(self, task: str, cohort: Cohort, fold: int, epochs: int, seed: int, work: Path) -> None:
        self.task, self.cohort, self.fold, self.epochs, self.seed, self.work = task, cohort, fold, epochs, seed, work
        self.seconds: dict[str, float] = {}
        self._models: dict[str, Path] = {}

    def maps(self, row: Row) -> Path:
        """Return the folder of the row's maps of the fold, made if need be."""
        folder = self.work / "maps" / row.name.replace(" ", "_").replace(",", "")
        if folder.exists():
            return folder
        if row.model == MONAI:
            settings = {**COMMON, **TASKS[self.task]}
            plain = self.seconds["plain"]
            self.seconds[MONAI] = monai_maps(self.cohort, self.fold, settings, plain, self.seed, folder)
        else:
            where = {"cohort": str(self.cohort.path), "split": "validation", "fold": self.fold, "device": "cpu"}
            infer_cases(self._model(row.model), folder, {**where, "maps": ["error", "valid"], **row.score})
        return folder

    def _model(self, name: str) -> Path:
        if name not in self._models:
            began = time.monotonic()
            self._models[name] = self._fitted(name) if name in BASELINES else self._trained(name)
            self.seconds[name] = round(time.monotonic() - began, 1)
        return self._models[name]

    def _fitted(self, name: str) -> Path:
        intensity = {"intensity": TASKS[self.task]["intensity"]}
        return fit_baselines(name, self.cohort.path, str(self.fold), self.work / "runs", intensity)

    def _trained(self, name: str) -> Path:
        training = TRAININGS[name]
        variants = [BUNDLES / "vq3d" / "configs" / VARIANTS / f"{training.variant}.json"] if training.variant else []
        settings = {**COMMON, **TASKS[self.task], **training.settings, **training.by_task.get(self.task, {})}
        place = {"cohort": str(self.cohort.path), "project_dir": str(self.work / "runs"), "group": name}
        length = {"max_epochs": self.epochs, "patience": self.epochs, "val_interval": self.epochs, "seed": self.seed}
        progress = {"progress": sys.stderr.isatty()}
        train_bundle(BUNDLES / "vq3d", str(self.fold), variants, {**settings, **place, **length, **progress})
        return next((self.work / "runs" / name).glob("*/checkpoints/last.pt"))


def run_task(task: str, cohort: Cohort, fold: int, epochs: int, seeds: int, rows: Sequence[Row], work: Path) -> Any:
    """Return a task's figures: for every row its measures with intervals, by seed, and what the default adds to it."""
    benches = [Bench(task, cohort, fold, epochs, seed, work / f"seed_{seed}") for seed in range(seeds)]
    results = []
    for row in rows:
        own = benches[:1] if row.model in BASELINES else benches
        found = [evaluate(bench.maps(row), cohort.path) for bench in own]
        results.append(
            {
                "row": row.name,
                "model": row.model,
                "seconds": [bench.seconds.get(row.model, 0.0) for bench in own],
                "by_seed": [_figures(one) for one in found],
            }
        )
        click.echo(f"{task}: {row.name}: {_figures(found[0])}")
    if DEFAULT in rows:
        others = [benches[0].maps(row) for row in rows if row != DEFAULT]
        compared = evaluate(benches[0].maps(DEFAULT), cohort.path, against=others).comparisons
        others_rows = (result for result in results if result["row"] != DEFAULT.name)
        for result, comparison in zip(others_rows, compared, strict=True):
            result["default_minus_it"] = _kept(comparison.differences["all"])
    everything = found[0].groups[0]
    about = {name: getattr(everything, name) for name in ("normal", "abnormal", "patients", "anomalous")}
    return {"fold": fold, "epochs": epochs, "training": len(cohort.training(fold)), **about, "rows": results}


def _figures(found: Evaluation) -> dict[str, Any]:
    types = {group.name: _kept(group.measures) for group in found.groups if group.by == "type"}
    return {**_kept(found.overall), **({"by_type": types} if types else {})}


def _kept(measures: Any) -> dict[str, list[float]]:
    return {name: _rounded(measures[name]) for name in MEASURES if name in measures}


def _rounded(estimate: Estimate) -> list[float]:
    return [round(value, 4) for value in estimate]


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of the data sets.")
@click.option("--task", "tasks", type=click.Choice(list(TASKS)), multiple=True, help="Repeatable. [default: all]")
@click.option("--row", "only", multiple=True, help="Only the rows of this model. Repeatable. [default: all]")
@click.option("--epochs", default=40, show_default=True, help="Of every network.")
@click.option("--seeds", default=1, show_default=True, help="Trainings of every network.")
@click.option("--select", is_flag=True, help="Another fold and other anomalies: where compositions are chosen.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep cohorts, runs and maps in this folder.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON to write, or to add tasks to; a page beside it.")
def main(
    data: Path,
    tasks: tuple[str, ...],
    only: tuple[str, ...],
    epochs: int,
    seeds: int,
    select: bool,
    keep: Path | None,
    out: Path | None,
) -> None:
    record = {"machine": machine(), "versions": versions(), "git_revision": git_revision()}
    rows = [row for row in ROWS if not only or row.model in only]
    fold, anomalies = (SELECTION_FOLD, SELECTION_SEED) if select else (TEST_FOLD, TEST_SEED)
    with tempfile.TemporaryDirectory() as temporary:
        work = keep or Path(temporary)
        for task in tasks or TASKS:
            cohort = detection_cohort(task, data, work, anomalies)
            figures = run_task(task, cohort, fold, epochs, seeds, rows, work / f"{task}-fold{fold}")
            if out is not None:
                there = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
                write_text(out, json.dumps({**there, task: {**record, **figures}}, indent=1) + "\n")
                write_text(out.with_name("results.md"), page(json.loads(out.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
