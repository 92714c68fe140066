"""What changes in an objective while it is trained: a weight by schedule, or β by what the KL divergence does."""

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys
from torch import nn

from fracture_vae import registry
from fracture_vae.errors import InputError
from fracture_vae.objectives import ELBO
from fracture_vae.training.schedules import Schedule, delayed

ADAPTIVE = "adaptive"
STEP = 1.02
"""Factor by which an adaptive β rises or falls at each step."""


class ScheduledWeight:
    """Sets an attribute of the objective at the start of each epoch, and shows it among the epoch's metrics.

    Args:
        objective: has the attribute.
        name: of the attribute, such as ``beta``; also the metric's name.
        schedule: from the epoch (0, 1, …) to the value.
    """

    def __init__(self, objective: nn.Module, name: str, schedule: Schedule) -> None:
        self.objective = objective
        self.name = name
        self.schedule = schedule

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, _show, self.objective, self.name)

    def __call__(self, engine: Engine) -> None:
        """Set the value of the epoch that starts."""
        setattr(self.objective, self.name, self.schedule(engine.state.epoch - 1))

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the epoch says it all."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take nothing."""


class AdaptiveBeta:
    """Holds the KL divergence near a target by raising or lowering the objective's ``beta`` a little at each step.

    Soft free bits (Chen et al. 2017, "Variational Lossy Autoencoder", arXiv:1611.02731, appendix C): β falls while
    KL is below the target, rises while it is 5 % above, and stays in [1e-4, 1]. No step waits for the device.

    Args:
        objective: an ELBO; its terms have ``kl``.
        target: nats an image.
    """

    def __init__(self, objective: ELBO, target: float) -> None:
        if not target > 0:
            raise InputError(f"kl_target is {target}; it must be above 0 nats")
        self.objective = objective
        self.target = target

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, _show, self.objective, "beta")

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        """Adjust β by the KL divergence of the step just made."""
        kl = engine.state.output[CommonKeys.PRED].kl.detach()
        beta = self.objective.beta
        lowered = torch.where(kl < self.target, beta / STEP, beta)
        beta.copy_(torch.where(kl > 1.05 * self.target, beta * STEP, lowered).clamp(1e-4, 1.0))

    def state_dict(self) -> dict[str, Any]:
        """Return β."""
        return {"beta": float(self.objective.beta)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.objective.beta = state["beta"]


def _show(engine: Engine, objective: nn.Module, name: str) -> None:
    engine.state.metrics[name] = float(getattr(objective, name))


def weight_schedule(
    objective: nn.Module, name: str, schedule: str, start: float, end: float, epochs: int, delay: int = 0
) -> ScheduledWeight:
    """Return the handler that moves an objective's weight from ``start`` to ``end``.

    Args:
        objective: has the attribute ``name``.
        name: of the weight, such as ``beta`` or ``capacity``.
        schedule: of the registry (see ``fracture-vae plugins``).
        start, end: values.
        epochs: how long the schedule takes.
        delay: epochs before it in which the weight is 0.

    Raises:
        InputError: for an unknown schedule, a weight the objective lacks, or negative numbers.
    """
    if not hasattr(objective, name):
        raise InputError(f"{type(objective).__name__} has no weight '{name}' to schedule")
    if min(start, end) < 0 or epochs < 1 or delay < 0:
        raise InputError(f"{name} from {start} to {end} over {epochs} epochs after {delay}: none may be negative")
    made = registry.get(registry.SCHEDULES, schedule)(start, end, epochs)
    return ScheduledWeight(objective, name, delayed(made, delay))


def beta_handler(
    objective: ELBO, schedule: str, start: float, end: float, epochs: int, delay: int, kl_target: float
) -> ScheduledWeight | AdaptiveBeta:
    """Return what controls β: a schedule by name, or ``adaptive``, which holds KL at ``kl_target``.

    Raises:
        InputError: as `weight_schedule` and `AdaptiveBeta`.
    """
    if schedule == ADAPTIVE:
        return AdaptiveBeta(objective, kl_target)
    return weight_schedule(objective, "beta", schedule, start, end, epochs, delay)
