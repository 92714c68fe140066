"""Train every fold of a study to the end, as its owner would, and say what that took.

    fracture-vae phantom study --reference
    python -m tools.benchmarks.five_folds study/cohort.csv --batch-size 16 --out FILE
    python -m tools.benchmarks.five_folds study/cohort.csv --batch-size 16 --all-normal --out FILE

One process trains the folds one after the other by the bundle's variant *reconstruction*: volumes are read, the step
is compiled, every epoch validates, logs, draws and saves. ``--all-normal`` trains on broken vertebrae and the hold-out
too: the arithmetic of a study that size, not a model to use. A batch above the bundle's own trains by
its `large_batch.json`. A fold's loss is the mean of its last validations.
"""

import csv
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from ignite.engine import Engine, Events

from fracture_vae.files import write_csv, write_text
from fracture_vae.training import best_device
from tools.benchmarks.precision import validation_loss
from tools.benchmarks.study import LARGE_BATCH, Bundle, shipped
from tools.benchmarks.timing import machine
from tools.benchmarks.training import EPOCHS, FOLDS

EVERY_VOLUME, NORMALS = "every volume of the study", "its normals, as the bundle trains"


class Epochs(NamedTuple):
    """When a fold's epochs began and when their steps were done, in seconds."""

    began: list[float]
    stepped: list[float]

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, before what follows an epoch's last step."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.began.append(time.perf_counter()))
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stepped)

    def _stepped(self, engine: Engine) -> None:
        if engine.state.iteration % engine.state.epoch_length == 0:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.stepped.append(time.perf_counter())


def every_volume_normal(cohort: Path, copy: Path) -> Path:
    """Write to ``copy`` the table of ``cohort`` with every label 0 and the hold-out dealt to the folds; return it."""
    with cohort.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    patients = list(dict.fromkeys(row["patient_id"] for row in rows))
    for row in rows:
        row["label"] = "0"
        row["image"] = str((cohort.parent / row["image"]).resolve())
        if row["fold"] == "test":
            row["fold"] = str(1 + patients.index(row["patient_id"]) % FOLDS)
    write_csv(copy, ["case_id", "patient_id", "level", "label", "fold", "image"], rows)
    return copy


def train_fold(
    cohort: Path, project: Path, fold: int, epochs: int, overlays: tuple[str, ...], settings: dict[str, Any]
) -> dict[str, Any]:
    """Train one fold and return its figures."""
    began = time.perf_counter()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    bundle = Bundle(cohort, project, overlays, fold=fold, max_epochs=epochs, **settings)
    clock = Epochs([], [])
    clock.attach(bundle["train#trainer"])
    run = bundle.train()
    steps = [b - a for a, b in zip(clock.began, clock.stepped, strict=True)]
    between = [b - a for a, b in zip(clock.began, clock.began[1:], strict=False)]
    loader = bundle["train#dataloader"]
    trained = len(loader) * loader.batch_size
    figures = {
        "fold": fold,
        "training_volumes": len(bundle["train#dataset"]),
        "validation_volumes": len(bundle["validate#dataset"]),
        "epochs": len(steps),
        "seconds": time.perf_counter() - began,
        "seconds_to_the_second_epoch": clock.began[1] - began,
        "seconds_an_epoch": statistics.median(between[1:]),
        "seconds_an_epoch_in_steps": statistics.median(steps[1:]),
        "volumes_a_second_in_steps": trained / statistics.median(steps[1:]),
        "validation_loss": validation_loss(run),
        "runs_on": str(bundle["acceleration"]),
    }
    if torch.cuda.is_available():
        figures["peak_gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9
        figures["peak_gpu_reserved_gb"] = torch.cuda.max_memory_reserved() / 1e9
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in figures.items()}


@click.command(help=__doc__)
@click.argument("cohort", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="JSON file that gets the figures, after each fold.")
@click.option("--folds", default=FOLDS, show_default=True, help="Train the first so many.")
@click.option("--epochs", type=click.IntRange(3), default=EPOCHS, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=None, help="The bundle's own by default.")
@click.option("--seed", default=0, show_default=True)
@click.option("--all-normal", is_flag=True, help="Train on every volume of the study.")
@click.option("--device", default=str(best_device()), show_default=True)
def main(
    cohort: Path,
    out: Path | None,
    folds: int,
    epochs: int,
    batch_size: int | None,
    seed: int,
    all_normal: bool,
    device: str,
) -> None:
    own = shipped("batch_size")["batch_size"]
    overlays = (LARGE_BATCH,) if batch_size is not None and batch_size > own else ()
    settings = {"batch_size": batch_size or own, "seed": seed, "device": device}
    learns = shipped("learning_rate", "final_learning_rate", overlays=overlays, batch_size=settings["batch_size"])
    about = {"machine": machine(), "torch": torch.__version__, **settings, **learns, "overlays": list(overlays)}
    result: dict[str, Any] = {**about, "folds": []}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        table = every_volume_normal(cohort, Path(name) / "cohort.csv") if all_normal else cohort
        for fold in range(1, folds + 1):
            result["folds"].append(train_fold(table, Path(name) / "runs", fold, epochs, overlays, settings))
            result["seconds"] = round(time.perf_counter() - began, 1)
            click.echo(json.dumps(result["folds"][-1]))
            if out is not None:
                others = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
                content = {**others, EVERY_VOLUME if all_normal else NORMALS: result}
                write_text(out, json.dumps(content, indent=2) + "\n")
    click.echo(f"{folds} folds of {epochs} epochs: {result['seconds']} s")


if __name__ == "__main__":
    main()
