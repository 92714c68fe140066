"""Measure what detects: objectives and scores against baselines, on real data, from healthy scans alone.

    python -m tools.benchmarks.detection --data DATA --docs docs

DATA holds hippocampus/images/*.nii.gz (Medical Segmentation Decathlon, Task04) and
vessel/vesselmnist3d_train_val.npz (MedMNIST v2). Networks are trained, run and evaluated by the package's own jobs; the
networks of a task all for the same number of epochs; the last epoch's weights are measured, so that the held-out cases
choose nothing. Models, maps and rows are kept in the cache folder, and a run that was stopped goes on where it was.
``--select`` looks at another fold and other anomalies instead: compositions are chosen there, and nothing is written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fracture_vae.cohort.synthetic import cache_folder
from fracture_vae.files import read_json, write_text
from fracture_vae.training.run_folder import git_revision, versions
from tools.benchmarks.detection_bench import Bench
from tools.benchmarks.detection_data import (
    SELECTION_FOLD,
    SELECTION_SEED,
    TEST_FOLD,
    TEST_SEED,
    detection_cohort,
    only,
    wider,
)
from tools.benchmarks.detection_pages import DETECTION, write_pages
from tools.benchmarks.detection_rows import BASELINES, DEFAULT, TASKS, rows_of
from tools.benchmarks.timing import machine


def measured(bench: Bench, models: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the figures of the task's rows of the ``models`` (all, if there are none), seed by seed.

    Where the default is among them, what it measures more than each of the others, too.
    """
    wanted = [row for row in rows_of(bench.task) if not models or row.model in models]
    rows = [row for row in wanted if bench.seeds > 1 or not row.ensemble]
    default = DEFAULT[bench.task]
    results = []
    for row in rows:
        by_seed = [bench.measured(row, seed) for seed in bench.seeds_of(row)]
        click.echo(f"{bench.task}: {row.name}: {[one['all'] for one in by_seed]}")
        result: dict[str, Any] = {"row": row.name, "model": row.model, "by_seed": by_seed}
        results.append(result)
    if default in rows:
        for row, result in zip(rows, results, strict=True):
            if row != default:
                result["default_minus_it"] = bench.compared(default, row)
    return results


def _alike(earlier: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """Tell whether networks were trained for as long: others do not stand in one table."""
    return all(earlier[name] == value for name, value in about.items())


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of the data sets.")
@click.option("--task", "tasks", type=click.Choice(list(TASKS)), multiple=True, help="Repeatable. [default: all]")
@click.option("--model", "models", multiple=True, help="Only the rows of this model. Repeatable. [default: all]")
@click.option("--seeds", default=3, show_default=True, help="Trainings of the default, one of others.")
@click.option("--select", is_flag=True, help="Another fold and other anomalies: where compositions are chosen.")
@click.option("--work", type=click.Path(path_type=Path), help="Keeps cohorts, models and maps. [default: cache folder]")
@click.option(
    "--docs", type=click.Path(exists=True, path_type=Path), help="Folder: its JSON gets rows, a page is written."
)
def main(
    data: Path,
    tasks: tuple[str, ...],
    models: tuple[str, ...],
    seeds: int,
    select: bool,
    work: Path | None,
    docs: Path | None,
) -> None:
    record = {"machine": machine(), "versions": versions(), "git_revision": git_revision()}
    fold, anomalies = (SELECTION_FOLD, SELECTION_SEED) if select else (TEST_FOLD, TEST_SEED)
    place = work or cache_folder() / "detection"
    if select and docs is not None:
        raise click.UsageError("--select chooses compositions; its figures have no place in --docs, leave it out")
    for task in tasks or TASKS:
        cohort = detection_cohort(task, data, place, anomalies)
        parts = {"all": cohort.path}
        if not select:
            narrow, cohort = cohort, wider(task, cohort, fold)
            parts = {"all": only(narrow, cohort, fold).path, "wider": cohort.path}
        bench = Bench(task, cohort, fold, parts, seeds, place / f"{task}-fold{fold}")
        rows = measured(bench, models)
        if docs is None:
            continue
        about = {"fold": fold, "epochs": TASKS[task]["max_epochs"], "training": len(cohort.training(fold))}
        there = read_json(docs / DETECTION) if (docs / DETECTION).is_file() else {}
        earlier = there.get(task, {})
        kept = [row for row in earlier.get("rows", []) if row["model"] in BASELINES or _alike(earlier, about)]
        together = {result["row"]: result for result in [*kept, *rows]}
        listed = [together[row.name] for row in rows_of(task) if row.name in together]
        figures = {**there, task: {**record, **about, "cases": rows[0]["by_seed"][0]["cases"], "rows": listed}}
        write_text(docs / DETECTION, json.dumps(figures, indent=1) + "\n")
        write_pages(docs)


if __name__ == "__main__":
    main()
