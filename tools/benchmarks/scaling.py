"""Epoch time against the number of volumes and against their voxels: straight lines, if nothing else grows.

    python -m tools.benchmarks.scaling --out docs/results_scaling.json --figure docs/images/scaling.png

Epochs of the bundle's own loader (with augmentation) and training step; each point is the median of the repeats, in
which all points take turns. The line is a least-squares fit.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import matplotlib
import numpy as np
import torch

from fracture_vae.files import replacing, write_text
from fracture_vae.training import BatchLoader, VolumeDataset, best_device
from tools.benchmarks.study import Bundle, write_study
from tools.benchmarks.timing import machine, median_of

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COUNTS = (8, 16, 24, 32, 40, 48)
EDGES = (48, 64, 80, 96, 112, 128)
EDGE, COUNT = 64, 4
"""What stays the same while the other varies."""


def epoch(bundle: Bundle, count: int) -> Callable[[], None]:
    """Return what trains an epoch of the bundle's first ``count`` volumes."""
    network, device = bundle["network"], bundle["acceleration"].device
    if network.quantizer.needs_vectors:
        network.quantizer.initialise(torch.randn(4096, network.quantizer.dim))
    dataset = VolumeDataset(bundle["cohort_table"].training(1)[:count], bundle["preprocessing"], device=device)
    loader = BatchLoader(dataset, bundle["batch_size"], device, shuffle=True, augmentation=bundle["augmentation"])
    accelerated, optimizer, clip = bundle["accelerated"], bundle["optimizer_def"], bundle["gradient_clipping"]

    def run() -> None:
        accelerated.train()
        for batch in loader:
            optimizer.zero_grad(set_to_none=True)
            accelerated(batch).total.backward()
            clip(None)
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def line(x: Sequence[float], seconds: Sequence[float]) -> dict[str, float]:
    """Return slope, intercept and R² of the least-squares line of ``seconds`` over ``x``."""
    slope, intercept = np.polyfit(x, seconds, 1)
    residual = np.asarray(seconds) - (slope * np.asarray(x) + intercept)
    r2 = 1 - (residual**2).sum() / ((np.asarray(seconds) - np.mean(seconds)) ** 2).sum()
    return {"slope": float(slope), "intercept": float(intercept), "r2": float(r2)}


def draw(result: Mapping[str, Any], figure: Path) -> None:
    """Draw both lines and their points."""
    drawn, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for ax, key, unit, title in (
        (axes[0], "volumes", 1, f"volumes of {EDGE}³"),
        (axes[1], "voxels", 1e-6, f"million voxels a volume, {COUNT} volumes"),
    ):
        x, fit = np.array(result[key]["x"], dtype=float), result[key]["line"]
        ax.plot(x * unit, result[key]["seconds"], "o", color="tab:blue")
        ax.plot(x * unit, fit["slope"] * x + fit["intercept"], color="tab:orange", lw=1)
        ax.set(xlabel=title, ylabel="seconds an epoch", xlim=(0, None), ylim=(0, None))
        ax.set_title(f"R² = {fit['r2']:.4f}", fontsize=10)
    with replacing(figure) as temporary:
        drawn.savefig(temporary, dpi=120)
    plt.close(drawn)


def measured(x: Sequence[float], runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Any]:
    """Time all ``runs`` in turn and fit a line through their medians over ``x``."""
    seconds = [timing.median for timing in median_of(runs, repeats).values()]
    return {"x": list(x), "seconds": [round(value, 4) for value in seconds], "line": line(x, seconds)}


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--figure", type=click.Path(path_type=Path), help="PNG file to write.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--device", default=str(best_device()), show_default=True)
def main(out: Path | None, figure: Path | None, repeats: int, device: str) -> None:
    result: dict[str, Any] = {"machine": machine(), "torch": torch.__version__, "device": device}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def bundle(count: int, edge: int, compile: bool) -> Bundle:
            study = write_study(folder / f"study-{count}-{edge}", count, 1, edge)
            return Bundle(study, folder, compile=compile, device=device, fold=1)

        most = bundle(max(COUNTS), EDGE, True)
        result["volumes"] = measured(COUNTS, {str(count): epoch(most, count) for count in COUNTS}, repeats)
        sizes = {str(edge): epoch(bundle(COUNT, edge, False), COUNT) for edge in EDGES}
        result["voxels"] = measured([edge**3 for edge in EDGES], sizes, repeats)
    click.echo(json.dumps(result, indent=2))
    if figure is not None:
        draw(result, figure)
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
