"""How fast the bundle trains, beside MONAI's VQVAE and beside what the machine can multiply.

    python -m tools.benchmarks.training --out docs/results_training.json

Epochs are those of the bundle's own trainer: data, augmentation, step, metrics and handlers, without validation; they
take turns with epochs of MONAI's VQVAE of the same channels (see ``monai_training``), as its tutorials build it and
stripped to the bundle's own arithmetic. Steps take turns with matrix products of the same precision, whose rate is
what a step is measured by. Memory is the largest resident size of a process of its own that trains for a few steps
with ``--resident`` volumes held: the median of ``--repeats`` processes, since what an allocator keeps differs.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import torch
from ignite.engine import Engine, Events

from fracture_vae.files import write_text
from fracture_vae.networks import VQVAE
from fracture_vae.training import best_device
from fracture_vae.training.acceleration import PRECISIONS
from tools.benchmarks.monai_training import monai_epoch
from tools.benchmarks.monai_vqvae import RESIDUAL_UNITS
from tools.benchmarks.neighbour import Neighbour
from tools.benchmarks.study import Bundle, write_study
from tools.benchmarks.timing import Timing, machine, median_of, ratio

PRODUCT = 4096
"""Rows and columns of the matrices multiplied."""
STUDY, EPOCHS, FOLDS = 514, 200, 5
"""The study whose training time is estimated: volumes of 128³, epochs a fold, folds."""
STEPS_FOR_MEMORY = 4
PARTS = ("epoch", "step", "peak_memory_gb")


def step_flops(network: VQVAE, batch: int, size: int) -> float:
    """Return the floating-point operations of one step's convolutions, as their plain formulation counts them.

    Forward once, backward by weights and by inputs once each, but for the first layer, whose input needs no gradient.
    """
    widths = (network.config.in_channels, *network.config.channels)
    total = 0.0
    for stage, (a, b) in enumerate(pairwise(widths)):
        once = 2 * a * b * 4**3 * (size / 2 ** (stage + 1)) ** 3
        total += (2 if stage == 0 else 3) * once + 3 * once  # encoder, decoder
    latent = (size / network.downsampling) ** 3
    pointwise = 1 if network.quantizer.dim == widths[-1] else 2
    return batch * (total + 3 * 2 * pointwise * widths[-1] * network.quantizer.dim * latent)


class EpochClock:
    """Times each epoch of a trainer up to its last step's handlers, and after each an epoch of other trainings."""

    def __init__(self, others: Mapping[str, Callable[[], object]], synchronize: Callable[[], object]) -> None:
        self.others = dict(others)
        self.synchronize = synchronize
        self.ours: list[float] = []
        self.theirs: dict[str, list[float]] = {name: [] for name in others}
        self.said: dict[str, list[object]] = {name: [] for name in others}
        """What each epoch of the others returned."""
        self._began = 0.0

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after its own handlers."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._other)

    def _begin(self, engine: Engine) -> None:  # noqa: ARG002
        self._began = time.perf_counter()

    def _end(self, engine: Engine) -> None:
        if engine.state.iteration % engine.state.epoch_length == 0:
            self.synchronize()
            self.ours.append(time.perf_counter() - self._began)

    def _other(self, engine: Engine) -> None:  # noqa: ARG002
        for name, other in self.others.items():
            began = time.perf_counter()
            said = other()
            self.theirs[name].append(time.perf_counter() - began)
            self.said[name].append(said)


def epochs(folder: Path, volumes: int, size: int, repeats: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Time epochs of all trainings in turn; one of each comes first and does not count."""
    cohort = write_study(folder / "study", volumes, 1, size)
    ours = Bundle(cohort, folder / "ours", compile=True, max_epochs=repeats + 1, val_interval=10**6, **settings)
    device = ours["acceleration"].device
    with ExitStack() as stack:
        monai = {
            name: stack.enter_context(
                Neighbour(monai_epoch, cohort, folder / f"monai-{units}", size, ours["batch_size"], str(device), units)
            )
            for name, units in RESIDUAL_UNITS.items()
        }
        clock = EpochClock(monai, _synchronize(device))
        clock.attach(ours["train#trainer"])
        ours.train()
    mine = _counted(clock.ours)
    theirs = {name: _counted(times) for name, times in clock.theirs.items()}
    steps = volumes // ours["batch_size"] * ours["batch_size"]
    per_volume = mine.median / steps
    return {
        "runs_on": str(ours["acceleration"]),
        "volumes": steps,
        "fracture_vae": mine.record(),
        "monai": {name: timing.record() for name, timing in theirs.items()},
        "times_faster": {name: [round(t, 2) for t in ratio(timing, mine)] for name, timing in theirs.items()},
        "volumes_per_second": round(1 / per_volume, 2),
        "five_folds_hours": round(per_volume * STUDY * (FOLDS - 1) / FOLDS * EPOCHS * FOLDS / 3600, 1),
    }


def _counted(times: list[float]) -> Timing:
    """Return the times without the first, which warms up."""
    return Timing(tuple(times[1:]), (0.0,))


def step(folder: Path, size: int, repeats: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Time training steps in turn with the parts of them and with matrix products."""
    study = write_study(folder / "one", settings.get("batch_size", 4), 1, size)
    bundle = Bundle(study, folder / "step", compile=True, **settings)
    device = bundle["acceleration"].device
    accelerated, optimizer, clip = bundle["accelerated"], bundle["optimizer_def"], bundle["gradient_clipping"]
    network, batch = bundle["network"], next(iter(bundle["train#dataloader"]))
    network.quantizer.initialise(torch.randn(4096, network.quantizer.dim))
    accelerated.train()
    dtype = torch.bfloat16 if bundle["acceleration"].precision == "bf16" else torch.float32
    a, b = (torch.randn(PRODUCT, PRODUCT, dtype=dtype, device=device) for _ in range(2))
    latent = network.encode(bundle["acceleration"].arrange(batch["image"])).detach().requires_grad_()

    def whole() -> None:
        optimizer.zero_grad(set_to_none=True)
        accelerated(batch).total.backward()
        clip(None)
        optimizer.step()

    def quantize() -> None:
        out = network.quantizer(latent)
        (out.quantized.sum() + out.loss).backward()

    wait = _synchronize(device)

    def finished(part: Callable[[], object]) -> Callable[[], object]:
        return lambda: (part(), wait())

    parts = {"step": whole, "product": lambda: a @ b, "quantizer": quantize, "optimizer": optimizer.step}
    timed = median_of({name: finished(part) for name, part in parts.items()}, repeats, warm_up=2)
    flops = step_flops(network, len(batch["image"]), size)
    shares = {name: round(ratio(timed[name], timed["step"])[0], 4) for name in ("quantizer", "optimizer")}
    rates = [
        flops / one / (2 * PRODUCT**3 / other)
        for one, other in zip(timed["step"].wall, timed["product"].wall, strict=True)
    ]
    return {
        "batch": len(batch["image"]),
        "gflop": round(flops / 1e9, 1),
        "times": {name: timing.record() for name, timing in timed.items()},
        "step_gflops": round(flops / timed["step"].median / 1e9, 1),
        "product_gflops": round(2 * PRODUCT**3 / timed["product"].median / 1e9, 1),
        "share_of_product_rate": round(sorted(rates)[len(rates) // 2], 3),
        "quantizer_share": shares["quantizer"],
        "optimizer_share": shares["optimizer"],
    }


def memory(folder: Path, size: int, resident: int, repeats: int, settings: Mapping[str, Any]) -> list[float]:
    """Return the GB each of ``repeats`` processes took that held ``resident`` volumes and trained a few steps."""
    cohort = write_study(folder / "resident", resident, 1, size)
    options = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "tools.benchmarks.training", "--memory-of", str(cohort), *options]
    runs = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(repeats))
    return sorted(round(float(done.stdout.splitlines()[-1]), 2) for done in runs)


def _train_for_memory(cohort: Path, settings: Mapping[str, Any]) -> float:
    with tempfile.TemporaryDirectory() as project:
        bundle = Bundle(cohort, Path(project), compile=True, max_epochs=1, **settings)
        trainer = bundle["train#trainer"]
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=STEPS_FOR_MEMORY), trainer.terminate)
        bundle.train()
    if (device := bundle["acceleration"].device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _synchronize(device: torch.device) -> Callable[[], object]:
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--size", default=128, show_default=True, help="Edge of a volume in voxels.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Of all trainings. [default: the bundle's]")
@click.option("--volumes", default=8, show_default=True, help="Volumes of an epoch.")
@click.option("--resident", default=200, show_default=True, help="Volumes held when memory is measured.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--device", default=str(best_device()), show_default=True)
@click.option("--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True)
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Repeatable. [default: all]")
@click.option("--memory-of", type=click.Path(path_type=Path), hidden=True)
def main(
    out: Path | None,
    size: int,
    batch_size: int | None,
    volumes: int,
    resident: int,
    repeats: int,
    device: str,
    precision: str,
    parts: tuple[str, ...],
    memory_of: Path | None,
) -> None:
    if parts and out is not None:
        raise click.UsageError("--part gives no whole file; leave out --out")
    settings: dict[str, Any] = {
        "device": device,
        "precision": precision,
        **({"batch_size": batch_size} if batch_size else {}),
    }
    if memory_of is not None:
        click.echo(_train_for_memory(memory_of, settings))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result: dict[str, Any] = {"machine": machine(), "torch": torch.__version__, "size": size}
        measures: tuple[Callable[[], object], ...] = (
            lambda: epochs(folder, volumes, size, repeats, settings),
            lambda: step(folder, size, repeats, settings),
            lambda: memory(folder, size, resident, repeats, settings),
        )
        for key, measure in zip(PARTS, measures, strict=True):
            if not parts or key in parts:
                result[key] = measure()
                click.echo(f"{key}: {json.dumps(result[key], indent=2)}")
    result["resident_volumes"] = resident
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
