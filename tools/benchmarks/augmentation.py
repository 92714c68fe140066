"""Augmenting a batch, beside MONAI's chain of random dictionary transforms with the same probabilities and ranges.

    python -m tools.benchmarks.augmentation --out docs/results_augmentation.json

Each repeat augments one batch anew; MONAI's chain is the random part of the bundle's ``monai_data.json``, volume by
volume, in memory and in a process of its own, as ``CacheDataset`` runs it.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import torch

from fracture_vae.files import write_text
from fracture_vae.training import best_device
from fracture_vae.training.allocator import keep_freed_memory
from fracture_vae.transforms import AugmentConfig, apply, draw
from tools.benchmarks.monai_training import monai_augmentation
from tools.benchmarks.neighbour import Neighbour
from tools.benchmarks.study import volume
from tools.benchmarks.timing import machine, median_of, ratio


def augmentation(size: int, batch: int, device: torch.device, always: bool) -> Callable[[], None]:
    """Return what augments ``batch`` made-up volumes on ``device``; ``always`` applies everything to every one."""
    config = AugmentConfig()
    if always:
        config = replace(config, **{f.name: 1.0 for f in fields(config) if f.name.endswith("_prob")})
    volumes = torch.from_numpy(volume(size, 0)).expand(batch, 1, size, size, size).contiguous().to(device)
    parameters, noise = torch.Generator().manual_seed(0), torch.Generator(device).manual_seed(0)

    def augment() -> None:
        apply(volumes, draw(config, batch, parameters), noise)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return augment


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--size", default=128, show_default=True, help="Edge of a volume in voxels.")
@click.option("--batch", default=4, show_default=True)
@click.option("--repeats", default=21, show_default=True, help="Many, since what is drawn differs.")
@click.option("--device", default=str(best_device()), show_default=True)
def main(out: Path | None, size: int, batch: int, repeats: int, device: str) -> None:
    keep_freed_memory()  # as in a training
    result: dict[str, Any] = {"machine": machine(), "torch": torch.__version__, "device": device}
    result |= {"batch": batch, "size": size}
    with tempfile.TemporaryDirectory() as folder:
        for kind, always in (("every one applied", True), ("at their probabilities", False)):
            ours = augmentation(size, batch, torch.device(device), always)
            with Neighbour(monai_augmentation, Path(folder), size, batch, always) as monai:
                timed = median_of({"fracture_vae": ours, "monai": monai}, repeats, warm_up=2)
            times, low, high = ratio(timed["monai"], timed["fracture_vae"])
            result[kind] = {
                "fracture_vae": timed["fracture_vae"].record(),
                "monai": timed["monai"].record(),
                "times_faster": round(times, 1),
                "times_faster_range": [round(low, 1), round(high, 1)],
            }
    click.echo(json.dumps(result, indent=2))
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
