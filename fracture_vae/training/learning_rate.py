"""The learning rate, epoch by epoch."""

import math
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fracture_vae import registry
from fracture_vae.errors import InputError
from fracture_vae.training.schedules import Schedule

PLATEAU = "plateau"


class ScheduledLearningRate:
    """Sets the learning rate at the start of each epoch, from a schedule.

    Args:
        optimizer: whose parameter groups are set.
        schedule: from the epoch (0, 1, …) to the learning rate.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        self.optimizer = optimizer
        self.schedule = schedule

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the learning rate of the epoch that starts."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule(engine.state.epoch - 1)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the epoch says it all."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take nothing."""


class PlateauLearningRate:
    """Lowers the learning rate when the validation's key metric stops falling (torch's ReduceLROnPlateau).

    Args:
        optimizer: whose learning rate falls.
        evaluator: the validation engine; its key metric is read after each of its runs.
        end: the learning rate below which it is left alone.
        factor, patience: see ReduceLROnPlateau; patience counts validations.
    """

    def __init__(
        self, optimizer: Optimizer, evaluator: Any, end: float, factor: float = 0.5, patience: int = 10
    ) -> None:
        self.evaluator = evaluator
        self.scheduler = ReduceLROnPlateau(optimizer, "min", factor=factor, patience=patience, min_lr=end)

    def attach(self, engine: Engine) -> None:  # noqa: ARG002 - the trainer; it is the evaluator that is watched
        """Register with the evaluator."""
        self.evaluator.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Show the scheduler the latest key metric."""
        self.scheduler.step(engine.state.metrics[engine.state.key_metric_name])

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state."""
        return self.scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.scheduler.load_state_dict(dict(state))


def learning_rate_schedule(
    name: str, optimizer: Optimizer, start: float, end: float, epochs: int, evaluator: Any
) -> ScheduledLearningRate | PlateauLearningRate:
    """Return the handler for a schedule's name (see ``fracture-vae plugins``) or ``plateau``.

    Raises:
        InputError: when no such schedule is registered, or a rate is none.
    """
    for setting, rate in (("learning_rate", start), ("final_learning_rate", end)):
        if not 0 <= rate < math.inf:
            raise InputError(f"{setting} {rate}: must be a number from 0 up")
    if name == PLATEAU:
        return PlateauLearningRate(optimizer, evaluator, end)
    return ScheduledLearningRate(optimizer, registry.get(registry.SCHEDULES, name)(start, end, epochs))
