"""Does bfloat16 learn what float32 learns? Losses after the same trainings.

    python -m tools.benchmarks.precision --out docs/results_precision.json [--cohort study/cohort.csv --fold 1]

The bundle trains both ways from the same seeds, so with the same weights, volumes and epochs; all else is as in its
config but for a smaller network. Without ``--cohort`` it trains on made-up volumes. A training's loss is the mean of
its last validations, whose spread is then that of the seeds. Seeds that the file holds already are not trained again.
"""

import csv
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch

from fracture_vae.files import read_json, write_text
from fracture_vae.training import best_device
from tools.benchmarks.study import Bundle, shipped, write_study
from tools.benchmarks.timing import machine

NETWORK: Mapping[str, Any] = {"channels": [16, 32, 64], "quantizer_options#num_codes": 128, "quantizer_options#dim": 64}
LAST = 5
"""Validations averaged."""


def validation_loss(run: Path) -> float:
    """Return the mean reconstruction loss of the last validations of a run."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        losses = [float(row["val/recon_loss"]) for row in csv.DictReader(file)]
    return statistics.fmean(losses[-LAST:])


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--cohort", type=click.Path(exists=True, path_type=Path), help="Trains and validates; else made-up data.")
@click.option("--fold", default=1, show_default=True)
@click.option("--size", default=48, show_default=True, help="Edge of a made-up volume in voxels.")
@click.option("--volumes", default=32, show_default=True, help="Made-up volumes to train on.")
@click.option("--epochs", default=40, show_default=True)
@click.option("--seeds", default=15, show_default=True)
@click.option("--device", default=str(best_device()), show_default=True)
def main(
    out: Path | None,
    cohort: Path | None,
    fold: int,
    size: int,
    volumes: int,
    epochs: int,
    seeds: int,
    device: str,
) -> None:
    about = {
        "data": f"{volumes} made-up volumes of {size}³" if cohort is None else cohort.parent.name,
        "epochs": epochs,
        **shipped("optimizer", "learning_rate"),
    }
    earlier = read_json(out) if out is not None and out.is_file() else {}
    same = about.items() <= earlier.items()
    losses: dict[str, list[float]] = earlier["validation_loss"] if same else {"fp32": [], "bf16": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = cohort or write_study(folder / "study", volumes, 8, size)
        for seed in range(len(losses["bf16"]), seeds):
            for way in losses:
                bundle = Bundle(
                    table, folder / f"{way}-{seed}", seed=seed, max_epochs=epochs, fold=fold, device=device,
                    compile=False, precision=way, **NETWORK,
                )  # fmt: skip
                losses[way].append(validation_loss(bundle.train()))
                click.echo(f"seed {seed}, {way}: {losses[way][-1]:.5f}")
    first, second = losses.values()
    result: dict[str, Any] = {
        "machine": machine(),
        "torch": torch.__version__,
        **about,
        "validation_loss": {way: [round(value, 6) for value in values] for way, values in losses.items()},
        "means": {way: round(statistics.fmean(values), 6) for way, values in losses.items()},
        "second_over_first": round(statistics.fmean(second) / statistics.fmean(first), 4),
        "each_seed": [round(b / a, 4) for a, b in zip(first, second, strict=True)],
        "spread_of_seeds": round(statistics.stdev(first) / statistics.fmean(first), 4),
    }
    click.echo(json.dumps(result, indent=2))
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
