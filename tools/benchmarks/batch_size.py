"""Does a larger batch learn what a small one does in as many epochs, and at which learning rate?

    python -m tools.benchmarks.batch_size study/cohort.csv 4:1e-3 16:3e-2:Muon --out docs/results_batch_size.json

Each RUN is a batch size, a learning rate and an optimizer, which is Adam where none is said: the bundle's variant
*reconstruction* trains with them from the same seeds, all else as in its config but for the smaller network of
`tools.benchmarks.precision`. A loss is the mean of the last validations. Runs are added to those that the file holds
already.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from fracture_vae.files import read_json, write_text
from fracture_vae.training import best_device
from tools.benchmarks.precision import NETWORK, validation_loss
from tools.benchmarks.study import Bundle, shipped
from tools.benchmarks.timing import machine

SMALL_BATCH = 4
"""The bundle's own."""


def larger_rates(batch_size: int) -> dict[str, float]:
    """Return the variant's learning rates for a batch: as they are up to its own, times what it is larger by beyond."""
    larger = max(batch_size / SMALL_BATCH, 1)
    return {name: rate * larger for name, rate in shipped("learning_rate", "final_learning_rate").items()}


class Run(NamedTuple):
    """What a RUN says, by the names of the config's settings."""

    batch_size: int
    learning_rate: float
    optimizer: str = "Adam"


def parsed(text: str) -> Run:
    """Return the RUN that is written as ``text``."""
    size, _, rest = text.partition(":")
    rate, _, optimizer = rest.partition(":")
    try:
        run = Run(int(size), float(rate), optimizer or "Adam")
    except ValueError:
        run = Run(0, 0.0)
    if min(run.batch_size, run.learning_rate) <= 0:
        raise click.BadParameter(f"'{text}' is no batch size and learning rate; write them as 16:4e-3 or 16:1e-2:Muon")
    return run


@click.command(help=__doc__)
@click.argument("cohort", type=click.Path(exists=True, path_type=Path))
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--fold", default=1, show_default=True)
@click.option("--epochs", default=40, show_default=True)
@click.option("--seeds", default=1, show_default=True)
@click.option("--device", default=str(best_device()), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="JSON to add to.")
def main(
    cohort: Path, runs: tuple[str, ...], fold: int, epochs: int, seeds: int, device: str, out: Path | None
) -> None:
    result: dict[str, Any] = read_json(out) if out is not None and out.is_file() else {"rows": []}
    result |= {"torch": torch.__version__, "data": cohort.parent.name, "fold": fold}
    for seed in range(seeds):
        for run in map(parsed, runs):
            own: Mapping[str, Any] = {**run._asdict(), "epochs": epochs, "seed": seed}
            if any(own.items() <= row.items() for row in result["rows"]):
                continue
            with tempfile.TemporaryDirectory() as folder:
                bundle = Bundle(
                    cohort, Path(folder), seed=seed, max_epochs=epochs, fold=fold, device=device, compile=False,
                    **run._asdict(), final_learning_rate=run.learning_rate / 100, **NETWORK,
                )  # fmt: skip
                loss = validation_loss(bundle.train())
            click.echo(f"batch {run.batch_size}, {run.optimizer} at {run.learning_rate:g}, seed {seed}: {loss:.6f}")
            result["rows"].append({**own, "loss": round(loss, 6), "cpu": machine()["cpu"]})
            if out is not None:
                write_text(out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
