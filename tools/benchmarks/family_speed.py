"""How fast ``mnist_vae`` trains beside pythae's TrainingPipeline, with the same network, data, batch and optimizer.

    python -m tools.benchmarks.family_speed --out docs/results_family_speed.json

Run it with an interpreter that has pythae as well, which trains in a process of its own. Epochs of the two take turns,
each one pass over the training images, without validation; the first of each does not count. The network is pythae's
default, 784-512-16-512-784, and the bundle's; batch 128; Adam.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import click
import torch
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
        trainer.run()
    mine, theirs = (Timing(tuple(times[1:]), (0.0,)) for times in (clock.ours, clock.theirs["pythae"]))
    times, low, high = ratio(theirs, mine)
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
    }


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
