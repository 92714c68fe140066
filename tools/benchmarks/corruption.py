"""What corrupting a batch costs beside the training step that learns to undo it.

    python -m tools.benchmarks.corruption --out docs/results_corruption.json

The step is the bundle's own, compiled where that is possible, with batch and loss as it comes; each corruption has its
own default options, and draws a batch anew each time. They take turns.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch

from fracture_vae import registry
from fracture_vae.files import write_text
from fracture_vae.training import best_device
from fracture_vae.transforms.corruption import Corruption, build_corruption, corrupt
from tools.benchmarks.study import Bundle, write_study
from tools.benchmarks.timing import machine, median_of

MIXED = ("foreign_patch", "poisson_patch", "deformation", "intensity", "texture")
"""Parts of the mixture, in equal shares."""


def corruption_of(name: str) -> Corruption:
    """Return the corruption ``name`` with its default options; one that holds another holds ``intensity``."""
    options: dict[str, dict[str, Any]] = {"mixture": {"parts": [{"name": part} for part in MIXED]}}
    options |= {holder: {"part": {"name": "intensity"}} for holder in ("repeated", "two_valued")}
    return build_corruption(name, **options.get(name, {}))


def training_step(bundle: Bundle, batch: dict[str, torch.Tensor]) -> Callable[[], None]:
    """Return what trains on ``batch`` once."""
    accelerated, optimizer = bundle["accelerated"], bundle["optimizer_def"]
    quantizer = bundle["network"].quantizer
    quantizer.initialise(torch.randn(4096, quantizer.dim))
    accelerated.train()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        accelerated(batch).total.backward()
        optimizer.step()
        synchronize(batch["image"].device)

    return step


def synchronize(device: torch.device) -> None:
    """Wait for what ``device`` has still to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--size", default=128, show_default=True, help="Edge of a volume in voxels.")
@click.option("--batch", default=4, show_default=True)
@click.option("--repeats", default=21, show_default=True, help="Many, since what is drawn differs.")
@click.option("--compile/--no-compile", "compiled", default=True, show_default=True)
@click.option("--device", default=str(best_device()), show_default=True)
def main(out: Path | None, size: int, batch: int, repeats: int, compiled: bool, device: str) -> None:
    registry.load_plugins()
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        study = write_study(Path(folder) / "study", batch, 1, size)
        bundle = Bundle(study, Path(folder) / "run", compile=compiled, batch_size=batch, device=device)
        images = next(iter(bundle["train#dataloader"]))
        timed: dict[str, Callable[[], object]] = {"training step": training_step(bundle, images)}
        for name in sorted(registry.CORRUPTIONS.names):
            timed[name] = _corrupting(images["image"], corruption_of(name), generator)
        times = median_of(timed, repeats, warm_up=2)
    step = times.pop("training step")
    result: dict[str, Any] = {"machine": machine(), "torch": torch.__version__, "device": device}
    result |= {"runs_on": str(bundle["acceleration"]), "batch": batch, "size": size, "training_step": step.record()}
    for name, timing in times.items():
        result[name] = {**timing.record(), "share_of_a_step": round(timing.median / step.median, 3)}
    click.echo(json.dumps(result, indent=2))
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + "\n")


def _corrupting(images: torch.Tensor, corruption: Corruption, generator: torch.Generator) -> Callable[[], None]:
    def run() -> None:
        corrupt(images, corruption, generator)
        synchronize(images.device)

    return run


if __name__ == "__main__":
    main()
