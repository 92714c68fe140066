"""How fast ``mnist_vae`` trains beside pythae's TrainingPipeline, with the same network, data, batch and optimizer.

    python -m tools.benchmarks.family_speed --out docs/results_family_speed.json

Run it with an interpreter that has pythae as well, which trains in a process of its own. Epochs of the two take turns,
each one pass over the training images, without validation; the first of each does not count. The network is pythae's
default, 784-512-16-512-784, and the bundle's; batch 128; Adam. Both losses are negative evidence lower bounds in nats
an image, means over an epoch's batches as they are trained; both sides are timed to the worse of their last losses.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser

from fracture_vae.cohort.images import images_folder
from fracture_vae.files import write_text
from tools.benchmarks.neighbour import Neighbour
from tools.benchmarks.pythae_training import pythae_epoch
from tools.benchmarks.timing import Timing, machine, ratio
from tools.benchmarks.training import EpochClock

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "mnist_vae"


def ours(folder: Path, data: Path, epochs: int, limit: int | None) -> ConfigParser:
    """Return the bundle's config with nothing changed but where things lie, and no validation."""
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "train.json"))
    parser.update(
        {
            "bundle_root": str(BUNDLE),
            "project_dir": str(folder),
            "data_dir": str(data),
            "limit": limit,
            "compile": True,
            "device": "cpu",
            "max_epochs": epochs,
            "val_interval": 10**6,
            "progress": False,
            "resolved_config": {},
        }
    )
    return parser


def measure(folder: Path, data: Path, repeats: int, limit: int | None) -> dict[str, Any]:
    """Time epochs of both in turn."""
    parser = ours(folder, data, repeats + 1, limit)
    trainer = parser.get_parsed_content("train#trainer")
    images = parser.get_parsed_content("train#dataset").images
    file = folder / "images.pt"
    torch.save(images, file)
    settings = {key: parser.get_parsed_content(key) for key in ("latent", "batch_size", "learning_rate")}
    with Neighbour(pythae_epoch, file, folder / "pythae", *settings.values()) as epoch:
        clock = EpochClock({"pythae": epoch}, lambda: None)
        clock.attach(trainer)
        ours_lost: list[float] = []
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: ours_lost.append(trainer.state.metrics["total_loss"]))
        trainer.run()
    mine, theirs = (Timing(tuple(times[1:]), (0.0,)) for times in (clock.ours, clock.theirs["pythae"]))
    times, low, high = ratio(theirs, mine)
    losses = [float(str(loss)) for loss in clock.said["pythae"]]
    same = max(ours_lost[-1], losses[-1])
    until = mine.median * epochs_until(ours_lost, same), theirs.median * epochs_until(losses, same)
    return {
        "runs_on": str(parser.get_parsed_content("acceleration")),
        "images": len(images),
        "parameters": sum(p.numel() for p in parser.get_parsed_content("network").parameters()),
        "fracture_vae_s": [round(t, 3) for t in mine.wall],
        "pythae_s": [round(t, 3) for t in theirs.wall],
        "fracture_vae_median_s": round(mine.median, 3),
        "pythae_median_s": round(theirs.median, 3),
        "times_faster": round(times, 2),
        "times_faster_range": [round(low, 2), round(high, 2)],
        "fracture_vae_loss": [round(loss, 2) for loss in ours_lost],
        "pythae_loss": [round(loss, 2) for loss in losses],
        "seconds_to_the_same_loss": {
            "loss": round(same, 2),
            "fracture_vae": round(until[0], 1),
            "pythae": round(until[1], 1),
        },
    }


def epochs_until(losses: Sequence[float], level: float) -> float:
    """Return after how many epochs losses (one an epoch) are down at ``level``, on straight lines between epochs.

    Raises:
        ValueError: when they never are.
    """
    epoch = next((epoch for epoch, loss in enumerate(losses) if loss <= level), None)
    if epoch is None:
        raise ValueError(f"no epoch has a loss of {level} or less")
    if epoch == 0:
        return 1.0
    above, below = losses[epoch - 1], losses[epoch]
    return epoch + (above - level) / (above - below)


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--data", type=click.Path(path_type=Path), default=images_folder, help="Folder that holds mnist/.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--limit", type=int, default=None, help="Images of an epoch; all by default.")
def main(out: Path | None, data: Path, repeats: int, limit: int | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        result = {
            "machine": machine(),
            "torch": torch.__version__,
            **measure(Path(name), data, repeats, limit),
        }
    click.echo(json.dumps(result, indent=2))
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
