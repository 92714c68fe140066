"""Choose how the default's head learns, and how its strongest rival does: by which optimizer, at which rate, on what.

    python -m tools.benchmarks.detection_selection --data DATA --docs docs

DATA is as for `tools.benchmarks.detection`. Hippocampus and vessel are looked at on another fold and with other
anomalies than `tools.benchmarks.detection` shows; the synthetic study out of fold, whose new patients, hold-out and
real scans stay out of sight. Figures go to results_selection.json of DOCS, candidate by candidate.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import click

from fracture_vae.cohort.synthetic import cache_folder
from fracture_vae.files import read_json, write_text
from fracture_vae.training.run_folder import git_revision, versions
from tools.benchmarks import detection_spines
from tools.benchmarks.detection_bench import Bench
from tools.benchmarks.detection_data import SELECTION_FOLD, SELECTION_SEED, detection_cohort, wider
from tools.benchmarks.detection_pages import SELECTION, write_pages
from tools.benchmarks.detection_rows import COMMON, DEFAULT, TASKS, TRAININGS, Row, Training
from tools.benchmarks.detection_selection_page import DENOISING, SPINES, before
from tools.benchmarks.detection_spines_page import SHIPPED
from tools.benchmarks.spine_data import synthetic_study
from tools.benchmarks.timing import machine

_RATES: Mapping[str, tuple[float, ...]] = {"AdamW": (2e-3, 3e-3), "Muon": (3e-3, 5e-3, 1e-2, 2e-2)}
_LEARNING: Mapping[str, Mapping[str, Any]] = {
    f"{optimizer} {rate:g}": {"optimizer": optimizer, "learning_rate": rate}
    for optimizer, rates in _RATES.items()
    for rate in rates
}
_DIFFERENCE, _TWICE = "difference, ", ", twice as long"
_RIVAL: Mapping[str, Row] = {
    "hippocampus": Row("denoising", {"smoothing_mm": 1.5}),
    "vessel": Row("denoising"),
}


def trainings() -> dict[str, Training]:
    """Return the candidates for crops of any kind: a head that sees the image, or also what a VQ-VAE makes of it.

    That takes about twice the time, so there are heads that see the image for twice as long, too. And those for the
    baseline that removes coarse noise, which is to learn as well as it can, too.
    """
    default, denoising = TRAININGS["default"], TRAININGS["denoising"]
    seen = {name: replace(default, settings=settings) for name, settings in _LEARNING.items()}
    vqvae = {name: COMMON[name] for name in ("dropout", "quantizer_options")}
    difference = {
        _DIFFERENCE + name: replace(default, variant="discriminative", settings={**vqvae, **settings}, idle=())
        for name, settings in _LEARNING.items()
    }
    longer = {
        task: {**default.by_task[task], "max_epochs": 2 * settings["max_epochs"]} for task, settings in TASKS.items()
    }
    twice = {name + _TWICE: replace(training, by_task=longer) for name, training in seen.items()}
    rivals = {DENOISING + name: replace(denoising, settings=settings) for name, settings in _LEARNING.items()}
    return seen | difference | twice | rivals


def _models() -> dict[str, detection_spines.Model]:
    """Return the candidates for crops of vertebrae: a head that sees the image."""
    default = detection_spines.MODELS[SHIPPED]
    return {name: replace(default, settings={**default.settings, **given}) for name, given in _LEARNING.items()}


def _of_crops(task: str, data: Path, place: Path, name: str, seeds: int) -> dict[str, Any]:
    """Return a candidate's figures on the fold and anomalies that choose, seed by seed, and its leads."""
    cohort = detection_cohort(task, data, place, SELECTION_SEED)
    if task == "hippocampus":
        cohort = wider(task, cohort, SELECTION_FOLD)
    bench = Bench(
        task, cohort, SELECTION_FOLD, {"all": cohort.path}, seeds, place / f"{task}-fold{SELECTION_FOLD}", trainings()
    )
    made = _RIVAL[task] if name.startswith(DENOISING) else DEFAULT[task]
    row, base = (replace(made, model=model) for model in (name, before(task, name)))
    by_seed = [bench.measured(row, seed) for seed in range(seeds)]
    found: dict[str, Any] = {"by_seed": [{**one, "cases": one["cases"]["all"]} for one in by_seed]}
    return found if row == base else {**found, "lead": bench.compared(row, base)["all"]}


def _of_spines(place: Path, name: str) -> dict[str, Any]:
    """Return a candidate's figures on the study's own folds, and its leads."""
    study = synthetic_study(place / "study-0", 0)
    bench = detection_spines.Bench(study, place, _models())
    base = before(SPINES, name)
    maps = bench.all_maps([name, *({base} - {name})], study, "validation")
    return detection_spines.figures_of(bench, study, name, maps)


def _summary(task: str, name: str, found: Mapping[str, Any]) -> str:
    if task == SPINES:
        return f"{task}: {name}: {found['groups']}"
    means = {key: round(mean(one["all"][key][0] for one in found["by_seed"]), 3) for key in found["by_seed"][0]["all"]}
    return f"{task}: {name}: mean of {len(found['by_seed'])}: {means}; lead {found.get('lead')}"


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of the data sets.")
@click.option("--task", "tasks", type=click.Choice([*TASKS, SPINES]), multiple=True, help="Repeatable. [default: all]")
@click.option(
    "--candidate",
    "names",
    type=click.Choice(list(trainings())),
    multiple=True,
    help="Beside what was before. Repeatable.",
)
@click.option("--seeds", default=2, show_default=True, help="Trainings of each on hippocampus and vessel.")
@click.option("--work", type=click.Path(path_type=Path), help="Keeps cohorts, models and maps. [default: cache folder]")
@click.option("--spines", type=click.Path(path_type=Path), help="The same of the study's. [default: cache folder]")
@click.option("--docs", type=click.Path(exists=True, path_type=Path), help="Folder that gets the figures and the page.")
def main(
    data: Path,
    tasks: tuple[str, ...],
    names: tuple[str, ...],
    seeds: int,
    work: Path | None,
    spines: Path | None,
    docs: Path | None,
) -> None:
    place = work or cache_folder() / "detection"
    study_place = (spines or cache_folder() / "detection_spines").resolve()
    for task in tasks or (*TASKS, SPINES):
        for name in dict.fromkeys((before(task), *names)):
            one = _of_spines(study_place, name) if task == SPINES else _of_crops(task, data, place, name, seeds)
            click.echo(_summary(task, name, one))
            if docs is None:
                continue
            record = {"machine": machine(), "versions": versions(), "git_revision": git_revision()}
            there = read_json(docs / SELECTION) if (docs / SELECTION).is_file() else {}
            rows = {**there.get(task, {}).get("candidates", {}), name: one}
            write_text(docs / SELECTION, json.dumps({**there, task: {**record, "candidates": rows}}, indent=1) + "\n")
            write_pages(docs)


if __name__ == "__main__":
    main()
