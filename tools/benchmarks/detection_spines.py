"""Measure what detects broken vertebrae, from whole ones alone: on the synthetic reference study, and on real scans.

    python -m tools.benchmarks.detection_spines --docs docs

Every model is trained or fitted fold by fold and scores patients it has not seen; its last epoch is measured. What is
made is kept in the work folder, and a run that stopped goes on. ``--data`` adds real vertebrae, whole and broken by
`fracture-vae fracture`: a folder that holds the CTs of `tools.benchmarks.spine_data.SCANS`. ``--fresh`` draws another
study, all of whose patients are new, and scores it with copies of the models that were calibrated on their own study.
``--holdout`` looks at the study's hold-out, which leaves a dated record beside the cohort.
"""

import csv
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from fracture_vae.calibrating import calibrate_run
from fracture_vae.cohort.looks import read_looks
from fracture_vae.cohort.manifest import Cohort
from fracture_vae.cohort.synthetic import cache_folder
from fracture_vae.evaluation.evaluate import Evaluation, evaluate
from fracture_vae.files import write_text
from fracture_vae.jobs import (
    BUNDLES,
    fit_baselines,
    infer_cases,
    resume_run,
    train_bundle,
    training_config,
    variant_configs,
)
from fracture_vae.training.run_folder import git_revision, versions
from tools.benchmarks import detection_monai
from tools.benchmarks.detection_pages import SPINES, write_pages
from tools.benchmarks.detection_spines_page import SHIPPED, page
from tools.benchmarks.keeping import Keeper, rounded, settled
from tools.benchmarks.spine_data import other_patients, real_study, synthetic_study
from tools.benchmarks.timing import machine

BUNDLE = BUNDLES / "vq3d"
ALPHA = 0.05
CALIBRATED = (
    "within_level_auroc", "voxel_average_precision", "sensitivity@calibrated", "specificity@calibrated",
    "dice@calibrated", "dice@oracle",
)  # fmt: skip
MEASURES = ("auroc", "within_level_auroc", "level_alone_auroc", "voxel_average_precision")


@dataclass(frozen=True)
class Model:
    """A row of the table.

    Attributes:
        about: what it is, for the page.
        baseline: one of ``training.fitting.BASELINES``; None for a network of the bundle vq3d.
        variant: of that bundle.
        settings: ids of its config.
        like: of `MODELS`: this is MONAI's own VQVAE with the settings of that one, trained for as long.
    """

    about: str
    baseline: str | None = None
    variant: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    like: str | None = None


MODELS: Mapping[str, Model] = {
    SHIPPED: Model(
        "the bundle as it ships for crops of vertebrae: a head that marks bodies made to collapse, 40 epochs; trained "
        "here without the VQ-VAE beside it, with which it is the same to the last bit",
        variant="head_alone",
        settings={"max_epochs": 40},
    ),
    "denoising": Model(
        "coarse noise removed by a U-Net, L2",
        variant="unet_denoising",
        settings={
            "max_epochs": 12,
            "optimizer": "AdamW",
            "learning_rate": 3e-3,
        },
    ),
    "vq-vae": Model(
        "reconstruction through 256 codes, L1",
        variant="reconstruction",
        settings={
            "max_epochs": 12,
            "channels": [16, 32, 64],
            "dropout": 0.0,
            "quantizer_options": {"num_codes": 256, "dim": 64},
            "optimizer": "AdamW",
            "learning_rate": 3e-3,
            "batch_size": 8,
        },
    ),
    "MONAI VQVAE": Model(
        "MONAI's own network, as wide as *vq-vae*, of as many codes and trained for as long", like="vq-vae"
    ),
    "template": Model("mean image of each level, L1", baseline="template"),
    "pca": Model("32 principal components, L1", baseline="pca"),
    "intensity": Model("the brightest voxels", baseline="intensity"),
}


class Bench:
    """Models and maps of one study, each made once and kept below ``work``, under a hash of what it was made with."""

    def __init__(self, study: Cohort, work: Path, models: Mapping[str, Model] = MODELS) -> None:
        self.study, self.keeper, self.models = study, Keeper(work), models

    def model(self, name: str) -> dict[str, Any]:
        """Return ``path`` of the run of all folds, and the processor's ``cpu_seconds`` it took."""
        if self.models[name].like:
            return self._monai(name)
        model, cohort = self.models[name], str(self.study.path)
        overlays = variant_configs(BUNDLE, model.variant) if model.variant else ()
        epochs = model.settings.get("max_epochs")
        fixed = {"patience": epochs, "val_interval": epochs, "keep_best": 1, "device": "cpu", "compile": False}
        given = {} if model.baseline else {**model.settings, **fixed}
        read = {} if model.baseline else settled([training_config(BUNDLE), *overlays], {**given, "cohort": cohort})
        settings = {"baseline": model.baseline, "cohort": cohort, "given": given, **read}
        place = self.keeper.place("models", name, settings)

        def make() -> dict[str, Any]:
            began, latest = time.process_time(), place / "vq3d" / "latest"
            earlier = 0.0
            if model.baseline is not None:
                run = fit_baselines(model.baseline, self.study.path, "all", place, {})
            elif latest.is_dir():
                run, earlier = latest.resolve(), _seconds_before(latest)
                resume_run(run, {})
            else:
                train_bundle(
                    BUNDLE, "all", overlays, {**given, "cohort": cohort, "project_dir": str(place), "progress": False}
                )
                run = latest.resolve()
            return {"path": str(run), "cpu_seconds": round(earlier + time.process_time() - began)}

        return self.keeper.kept("models", name, settings, make)

    def _monai(self, name: str) -> dict[str, Any]:
        """Return the same of a network of MONAI's; ``path`` holds its folds' weights."""
        like, settings = str(self.models[name].like), _monai_settings(name, self.study.path)
        seconds = self.model(like)["cpu_seconds"] / len(self.study.folds)
        place = self.keeper.place("models", name, settings)

        def make() -> dict[str, Any]:
            place.mkdir(parents=True, exist_ok=True)
            took = 0.0
            for fold in self.study.folds:
                trained, own = detection_monai.train(self.study, fold, settings, seconds, seed=0)
                detection_monai.save(trained, place / f"fold_{fold}.pt")
                took += own
            return {"path": str(place), "cpu_seconds": round(took)}

        return self.keeper.kept("models", name, settings, make)

    def _monai_maps(self, name: str, cohort: Cohort, split: str, folder: Path) -> None:
        """Write the maps of MONAI's networks: of a fold by the one that has not seen it, of others by all together."""
        run, settings = Path(self.model(name)["path"]), _monai_settings(name, self.study.path)
        models = {fold: detection_monai.load(run / f"fold_{fold}.pt", settings) for fold in self.study.folds}
        together = {None: list(models.values())}
        by_fold = {fold: [one] for fold, one in models.items()} if split == "validation" else together
        rows = []
        for fold, own in by_fold.items():
            cases = detection_monai.cases_of(cohort, split, fold, settings)
            rows += detection_monai.write_maps(own, cases, folder)
        detection_monai.write_scores(folder, rows)

    def maps(self, name: str, cohort: Cohort, split: str) -> Path:
        """Return the folder of the model's maps of ``cohort``."""
        run = self.model(name)["path"]
        settings = {"model": run, "cohort": str(cohort.path), "split": split}
        folder = self.keeper.place("maps", name, settings)

        def make() -> dict[str, Any]:
            if self.models[name].like:
                self._monai_maps(name, cohort, split, folder)
                return {"path": str(folder)}
            where = {"cohort": str(cohort.path), "split": split, "device": "cpu", "maps": ["error", "valid"]}
            infer_cases(Path(run), folder, where)
            return {"path": str(folder)}

        return Path(self.keeper.kept("maps", name, settings, make)["path"])

    def all_maps(self, names: Sequence[str], cohort: Cohort, split: str) -> dict[str, Path]:
        """Return the folder of each model's maps."""
        return {name: self.maps(name, cohort, split) for name in names}

    def calibrated(self, name: str, cohort: Cohort) -> Path:
        """Return the folder of maps of ``cohort``, all of it new patients, by a calibrated copy of the model."""
        run = self.model(name)["path"]
        settings = {"model": run, "cohort": str(cohort.path), "alpha": ALPHA}
        place = self.keeper.place("calibrated", name, settings)

        def make() -> dict[str, Any]:
            shutil.rmtree(place, ignore_errors=True)
            copy = shutil.copytree(run, place / "run")
            calibrate_run(copy, self.study.path, ALPHA, {})
            where = {"cohort": str(cohort.path), "split": "all", "device": "cpu", "maps": ["error", "valid", "z"]}
            infer_cases(copy, place / "maps", where)
            return {"path": str(place / "maps")}

        return Path(self.keeper.kept("calibrated", name, settings, make)["path"])


def _seconds_before(run: Path) -> float:
    """Return how long the epochs of a training that was stopped took, by the clock."""
    seconds = 0.0
    for table in run.glob("fold_*/metrics.csv"):
        with table.open(newline="", encoding="utf-8") as file:
            seconds += sum(float(row["seconds"]) for row in csv.DictReader(file))
    return seconds


def _monai_settings(name: str, cohort: Path) -> dict[str, Any]:
    """Return what the bundle gives the network that MONAI's is like."""
    like = MODELS[str(MODELS[name].like)]
    configs = [training_config(BUNDLE), *variant_configs(BUNDLE, str(like.variant))]
    read = settled(configs, {"cohort": str(cohort), "device": "cpu"})["settings"]
    augmentation = {f"augmentation#{key}": value for key, value in read["augmentation"].items()}
    return {"intensity": read["intensity"], **augmentation, **like.settings}


def table(bench: Bench, cohort: Cohort, maps: Mapping[str, Path]) -> dict[str, Any]:
    """Return the figures of each model's ``maps`` of ``cohort``, and what the default has more than the others."""
    rows, about = {}, {}
    for name in maps:
        others = [other for other in maps if other != name] if name == SHIPPED else []
        row = figures_of(bench, cohort, name, {other: maps[other] for other in (name, *others)})
        about = row.pop("about")
        rows[name] = row
    return {**about, "rows": rows}


def figures_of(bench: Bench, cohort: Cohort, name: str, maps: Mapping[str, Path]) -> dict[str, Any]:
    """Return the figures of ``name``, its leads over the other ``maps`` of ``cohort``, and the seconds it took."""
    settings = {"cohort": str(cohort.path), "maps": {other: str(folder) for other, folder in maps.items()}}

    def measure() -> dict[str, Any]:
        others = [other for other in maps if other != name]
        found = evaluate(maps[name], cohort.path, against=[maps[other] for other in others], kind="error")
        leads = {
            other: {group: rounded(values, MEASURES) for group, values in comparison.differences.items()}
            for other, comparison in zip(others, found.comparisons, strict=True)
        }
        first = found.groups[0]
        about = {"normal": first.normal, "abnormal": first.abnormal, "patients": first.patients}
        return {"about": about, "groups": _groups(found), "leads": leads}

    kept = bench.keeper.kept("figures", name, settings, measure)
    return {"cpu_seconds": bench.model(name)["cpu_seconds"], **kept}


def fresh(bench: Bench, names: Sequence[str], study: Cohort) -> dict[str, Any]:
    """Return the same of a study of new patients, and what its z maps and flags are worth where there are any."""
    calibratable = [name for name in names if not MODELS[name].like]
    maps = {
        name: bench.calibrated(name, study) if name in calibratable else bench.maps(name, study, "all")
        for name in names
    }
    calibrated = {name: _flags(bench.keeper, study, name, maps[name]) for name in calibratable}
    return {**table(bench, study, maps), "alpha": ALPHA, "calibrated": calibrated}


def _flags(keeper: Keeper, cohort: Cohort, name: str, maps: Path) -> dict[str, Any]:
    """Return what the z maps and the flags in a folder are worth."""
    settings = {"cohort": str(cohort.path), "maps": str(maps), "kind": "z"}

    def measure() -> dict[str, Any]:
        return rounded(evaluate(maps, cohort.path, kind="z").overall, CALIBRATED)

    return keeper.kept("figures", name, settings, measure)


def _groups(found: Evaluation) -> dict[str, Any]:
    kept = [group for group in found.groups if group.by in ("all", "grade", "type")]
    return {group.title: {"abnormal": group.abnormal, **rounded(group.measures, MEASURES)} for group in kept}


@click.command(help=__doc__)
@click.option("--model", "only", type=click.Choice(list(MODELS)), multiple=True, help="Repeatable. [default: all]")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Folder of real CTs.")
@click.option("--holdout", is_flag=True, help="Look at the hold-out, too.")
@click.option("--fresh", "fresh_seed", type=int, help="Seed of a study of new patients, for calibrated models.")
@click.option("--seed", default=0, show_default=True, help="Of the study.")
@click.option("--work", type=click.Path(path_type=Path), help="Keeps study, models and maps. [default: cache folder]")
@click.option("--docs", type=click.Path(exists=True, path_type=Path), help="Folder that gets the figures and pages.")
def main(
    only: tuple[str, ...],
    data: Path | None,
    holdout: bool,
    fresh_seed: int | None,
    seed: int,
    work: Path | None,
    docs: Path | None,
) -> None:
    place = (work or cache_folder() / "detection_spines").resolve()
    study = synthetic_study(place / f"study-{seed}", seed)
    bench, names = Bench(study, place), list(only or MODELS)
    figures: dict[str, Any] = {"machine": machine(), "versions": versions(), "git_revision": git_revision()}
    figures |= {"seed": seed, "about": {name: MODELS[name].about for name in names}}
    figures["study"] = table(bench, study, bench.all_maps(names, study, "validation"))
    if fresh_seed is not None:
        another = other_patients(synthetic_study(place / f"study-{fresh_seed}", fresh_seed))
        figures["fresh"] = {"seed": fresh_seed, **fresh(bench, names, another)}
    if holdout:
        shown = table(bench, study, bench.all_maps(names, study, "test"))
        looks = [look.date[:10] for look in read_looks(study.path) if look.what == "infer"]
        figures["holdout"] = {**shown, "looks": looks}
    if data is not None:
        real = real_study(data, place / "real")
        figures["real"] = table(bench, real, bench.all_maps(names, real, "all"))
    click.echo(page(figures))
    if docs is not None:
        write_text(docs / SPINES, json.dumps(figures, indent=1) + "\n")
        write_pages(docs)


if __name__ == "__main__":
    main()
