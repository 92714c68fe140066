"""What a run writes each epoch: metrics.csv and TensorBoard, under the same names."""

import csv
import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from fracture_vae.errors import InputError
from fracture_vae.files import write_csv


class RunLog:
    """Writes ``train/…`` each epoch and ``val/…`` whenever validation ran, to metrics.csv and TensorBoard.

    Attach it to the trainer after the validation handler. A run that is resumed goes on below the rows it has;
    ``writer`` is there from the run's start.

    Args:
        run_dir: the run folder.
        evaluator: the validation engine.
        optimizer: whose learning rate is logged.

    Raises:
        InputError: when the rows that the folder has are damaged.
    """

    def __init__(self, run_dir: str | Path, evaluator: Engine, optimizer: Optimizer) -> None:
        self.path = Path(run_dir) / "metrics.csv"
        self.writer: SummaryWriter | None = None
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.rows: list[dict[str, Any]] = []
        self._before = _read_rows(self.path)
        self.final: dict[str, float] = {}
        """What was measured once, at the run's end."""
        self._validated = False
        self._began = 0.0

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; only the first process writes."""
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        self.evaluator.add_event_handler(Events.COMPLETED, self._seen)

    def _start(self, engine: Engine) -> None:
        self.rows = [row for row in self._before if int(row["epoch"]) <= engine.state.epoch]
        self.writer = SummaryWriter(str(self.path.parent / "tensorboard"), purge_step=engine.state.epoch + 1)

    def note(self, name: str, value: float, epoch: int) -> None:
        """Take a figure that was measured at the run's end, and show it in TensorBoard."""
        self.final[name] = value
        if self.writer is not None:
            self.writer.add_scalar(name, value, epoch)
            self.writer.flush()

    def _begin(self, engine: Engine) -> None:  # noqa: ARG002
        self._validated = False
        self._began = time.monotonic()

    def _seen(self, engine: Engine) -> None:  # noqa: ARG002
        self._validated = True

    def _write(self, engine: Engine) -> None:
        values = {f"train/{name}": value for name, value in engine.state.metrics.items()}
        values["train/learning_rate"] = self.optimizer.param_groups[0]["lr"]
        if self._validated:
            values |= {f"val/{name}": value for name, value in self.evaluator.state.metrics.items()}
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, engine.state.epoch)
            self.writer.flush()
        seconds = round(time.monotonic() - self._began, 3)
        self.rows.append({"epoch": engine.state.epoch, "seconds": seconds, **values})
        write_csv(self.path, dict.fromkeys(name for row in self.rows for name in row), self.rows)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of the metrics.csv of a run that stopped, none where there is no such file."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            int(row["epoch"])
    except (ValueError, LookupError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: damaged; restore it, or remove it to go on without it") from error
    return rows
