"""Does a larger batch learn what a small one does in as many epochs, and at which learning rate?

    python -m tools.benchmarks.batch_size study/cohort.csv 4:1e-3 16:3e-2:Muon 16 --out docs/results_batch_size.json

Each RUN is a batch size, a learning rate and an optimizer, which is Adam where none is said; or a batch size alone,
which then trains by the bundle's `large_batch.json`. The bundle's variant *reconstruction* trains with them from the
same seeds, the rate on its cosine to a hundredth of itself, all else as in its config; but for its network, unless
``--whole``, which is the smaller one of `tools.benchmarks.precision`. A loss is the mean of the last validations.
Runs are added to those that the file holds already.
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
from tools.benchmarks.study import LARGE_BATCH, Bundle, shipped
from tools.benchmarks.timing import machine


class Run(NamedTuple):
    """What a RUN says, by the names of the config's settings, and the overlays that it trains by."""

    batch_size: int
    learning_rate: float
    optimizer: str
    overlays: tuple[str, ...] = ()


def parsed(text: str) -> Run:
    """Return the RUN that is written as ``text``."""
    size, _, rest = text.partition(":")
    rate, _, optimizer = rest.partition(":")
    try:
        if text == size:
            by = shipped("learning_rate", "optimizer", overlays=(LARGE_BATCH,), batch_size=int(size))
            run = Run(int(size), **by, overlays=(LARGE_BATCH,))
        else:
            run = Run(int(size), float(rate), optimizer or "Adam")
    except ValueError:
        run = Run(0, 0.0, "")
    if min(run.batch_size, run.learning_rate) <= 0:
        raise click.BadParameter(f"'{text}' is no RUN; write a batch size, 16, or with a rate, 16:4e-3 or 16:1e-2:Muon")
    return run


@click.command(help=__doc__)
@click.argument("cohort", type=click.Path(exists=True, path_type=Path))
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--fold", default=1, show_default=True)
@click.option("--epochs", default=40, show_default=True)
@click.option("--seeds", default=1, show_default=True)
@click.option("--whole", is_flag=True, help="The variant's own network, not the smaller one.")
@click.option("--device", default=str(best_device()), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="JSON to add to.")
def main(
    cohort: Path,
    runs: tuple[str, ...],
    fold: int,
    epochs: int,
    seeds: int,
    whole: bool,
    device: str,
    out: Path | None,
) -> None:
    network = shipped("channels") if whole else NETWORK
    result: dict[str, Any] = read_json(out) if out is not None and out.is_file() else {"rows": []}
    result |= {"torch": torch.__version__, "data": cohort.parent.name, "fold": fold}
    for seed in range(seeds):
        for run in map(parsed, runs):
            settings = {key: value for key, value in run._asdict().items() if key != "overlays"}
            own: Mapping[str, Any] = {
                "channels": network["channels"], **settings,
                "overlays": list(run.overlays), "epochs": epochs, "seed": seed,
            }  # fmt: skip
            if any(own.items() <= row.items() for row in result["rows"]):
                continue
            with tempfile.TemporaryDirectory() as folder:
                bundle = Bundle(
                    cohort, Path(folder), run.overlays, seed=seed, max_epochs=epochs, fold=fold, device=device,
                    compile=whole, **settings, final_learning_rate=run.learning_rate / 100, **network,
                )  # fmt: skip
                loss = validation_loss(bundle.train())
            click.echo(f"{' '.join(map(str, (*settings.values(), *run.overlays)))}, seed {seed}: {loss:.6f}")
            result["rows"].append({**own, "loss": round(loss, 6), "cpu": machine()["cpu"]})
            if out is not None:
                write_text(out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
