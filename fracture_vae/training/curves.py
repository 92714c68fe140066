"""The course of a run in a small table and a picture, and its sum in one file."""

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from fracture_vae.files import replacing, write_csv, write_text
from fracture_vae.training.run_log import RunLog

COLUMNS = {"beta": "beta", "recon": "recon_loss", "kl": "kl_loss", "total": "total_loss"}
"""Column of train_log.csv, and the metric it shows; empty where an objective has none."""
_AXES = {
    "total": "what is minimised",
    "recon": "sum over an image",
    "kl": "nats an image",
    "beta": "weight of KL",
}
_MIB = 2**20


class RunCurves:
    """Writes ``curves/train_log.csv`` each epoch; at the run's end ``losses.png`` and ``log.json``.

    Attach it to the trainer after the run log, whose rows it shows. ``log.json`` has the last epoch's means per image
    (``loss``, ``recon``, ``kl``, the same of the last validation, and what was measured at the end), ``seconds`` of all
    epochs and the median of an epoch, validation included, and the peak memory in MiB: of the process, which is all it
    ever took, and of every GPU.

    Args:
        run_log: has a row an epoch.
    """

    def __init__(self, run_log: RunLog) -> None:
        self.run_log = run_log
        self.folder = Path(run_log.path).parent

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; only the first process writes."""
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:  # noqa: ARG002
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)

    def _write(self, engine: Engine) -> None:  # noqa: ARG002
        rows = [
            {"epoch": row["epoch"], **{column: row.get(f"train/{metric}", "") for column, metric in COLUMNS.items()}}
            for row in self.run_log.rows
        ]
        write_csv(self.folder / "curves" / "train_log.csv", ("epoch", *COLUMNS), rows)

    def _finish(self, engine: Engine) -> None:  # noqa: ARG002
        if not self.run_log.rows:
            return
        draw_losses(self.run_log.rows, self.folder / "losses.png")
        log = {**summary(self.run_log.rows), **peak_memory()}
        log["validation"] |= {name.removeprefix("val/"): value for name, value in self.run_log.final.items()}
        write_text(self.folder / "log.json", json.dumps(log, indent=2) + "\n")


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what ``log.json`` says of a run's rows (see :class:`RunLog`): the last epoch's means per image."""
    names = {"loss": "total_loss", "recon": "recon_loss", "kl": "kl_loss"}
    last = rows[-1]
    means = {
        split: {
            name: float(value)
            for name, metric in names.items()
            if (value := last.get(f"{split}/{metric}")) not in (None, "")
        }
        for split in ("train", "val")
    }
    seconds = [float(row["seconds"]) for row in rows]
    return {
        "epochs": int(last["epoch"]),
        **means["train"],
        "validation": means["val"],
        "seconds": round(math.fsum(seconds), 3),
        "seconds_per_epoch": statistics.median(seconds),
    }


def peak_memory() -> dict[str, Any]:
    """Return ``peak_memory_mib``: what the process took at most, and what PyTorch held at most on each GPU."""
    memory: dict[str, float] = {}
    if sys.platform != "win32":  # which has no resource module
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        memory["cpu"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB, 1)
    for index in range(torch.cuda.device_count()):
        memory[f"cuda:{index}"] = round(torch.cuda.max_memory_allocated(index) / _MIB, 1)
    return {"peak_memory_mib": memory}


def draw_losses(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw total, reconstruction and KL against the epoch, of training and of validation, and β where there is one.

    Reconstruction and KL are means over the images whatever the reduction; the total follows it.
    """
    from matplotlib.figure import Figure

    shown = [name for name in ("total", "recon", "kl", "beta") if any(_has(row, "train", name) for row in rows)]
    figure = Figure(figsize=(3.2 * len(shown), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for split, style in (("train", "o-"), ("val", "s--")):
            points = [(int(row["epoch"]), _value(row, split, name)) for row in rows if _has(row, split, name)]
            if points:
                axes.plot(*zip(*points, strict=True), style, markersize=3, label=split)
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(_AXES[name])
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _has(row: dict[str, Any], split: str, name: str) -> bool:
    return row.get(f"{split}/{COLUMNS[name]}") not in (None, "")


def _value(row: dict[str, Any], split: str, name: str) -> float:
    return float(row[f"{split}/{COLUMNS[name]}"])
