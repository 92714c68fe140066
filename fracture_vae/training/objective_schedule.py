"""What changes in an objective while it is trained: a weight by schedule, or β by what the KL divergence does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
_EPOCHS = "the epochs it takes must be 1 or more, and none may be negative"
_LONG_AFTER = 1_000_000_000
"""An epoch at which every schedule has arrived."""


@dataclass(frozen=True)
class KLPlan:
    """How the KL term of a VAE is weighed while it is trained."""

    beta: float = 1.0
    """β, or what its schedule ends at."""
    schedule: str = "constant"
    """Of β: constant, linear, cosine, cyclical, any other that is registered, or adaptive."""
    start: float = 0.0
    """β in the schedule's first epoch; constant has no use for it."""
    epochs: int = 10
    """How long the schedule takes."""
    delay: int = 0
    """Epochs before it in which the KL term is left out altogether."""
    kl_target: float = 10.0
    """Nats an image that adaptive holds the KL divergence at."""
    capacity: float | None = None
    """Nats an image that the KL divergence is led to (Burgess et al. 2018), or None for no capacity."""
    capacity_epochs: int = 10
    """How long the capacity takes from 0 to there."""


class ScheduledWeight:
    """Sets an attribute of the objective at the start of each epoch, and shows it among the epoch's metrics.

    Args:
        objective: has the attribute.
        name: of the attribute, such as ``beta``; also the metric's name.
        schedule: from the epoch (0, 1, …) to the value.
        evaluator: the validation engine, which runs with the value the schedule ends at: its totals can then be
            compared from epoch to epoch. None leaves the epoch's value.
    """

    def __init__(self, objective: nn.Module, name: str, schedule: Schedule, evaluator: Engine | None = None) -> None:
        self.objective = objective
        self.name = name
        self.schedule = schedule
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, _show, self.objective, self.name)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.STARTED, self._arrive)
            self.evaluator.add_event_handler(Events.COMPLETED, self._return, engine)

    def _arrive(self, evaluator: Engine) -> None:  # noqa: ARG002
        setattr(self.objective, self.name, self.schedule(_LONG_AFTER))

    def _return(self, evaluator: Engine, trainer: Engine) -> None:  # noqa: ARG002
        self(trainer)

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


class Together:
    """Several handlers as one."""

    def __init__(self, handlers: Sequence[ScheduledWeight | AdaptiveBeta]) -> None:
        self.handlers = tuple(handlers)

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        for handler in self.handlers:
            handler.attach(engine)

    def state_dict(self) -> dict[str, Any]:
        """Return what each would go on from."""
        return {str(index): handler.state_dict() for index, handler in enumerate(self.handlers)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        for index, handler in enumerate(self.handlers):
            handler.load_state_dict(state[str(index)])


def weight_schedule(
    objective: nn.Module,
    name: str,
    schedule: str,
    start: float,
    end: float,
    epochs: int,
    delay: int = 0,
    evaluator: Engine | None = None,
) -> ScheduledWeight:
    """Return the handler that moves an objective's weight from ``start`` to ``end``.

    Args:
        objective: has the attribute ``name``.
        name: of the weight, such as ``beta`` or ``capacity``.
        schedule: of the registry (see ``fracture-vae plugins``).
        start, end: values.
        epochs: how long the schedule takes.
        delay: epochs before it in which the weight is 0.
        evaluator: see :class:`ScheduledWeight`.

    Raises:
        InputError: for an unknown schedule, a weight the objective lacks, or negative numbers.
    """
    if not hasattr(objective, name):
        raise InputError(f"{type(objective).__name__} has no weight '{name}' to schedule")
    if min(start, end) < 0 or epochs < 1 or delay < 0:
        raise InputError(f"{name} from {start} to {end} over {epochs} epochs after {delay}: {_EPOCHS}")
    made = registry.get(registry.SCHEDULES, schedule)(start, end, epochs)
    return ScheduledWeight(objective, name, delayed(made, delay), evaluator)


def kl_control(objective: ELBO, plan: KLPlan, evaluator: Engine | None = None) -> Together:
    """Return what carries out ``plan``: β by a schedule or ``adaptive``, and the capacity where there is one.

    Raises:
        InputError: as `weight_schedule` and `AdaptiveBeta`; for a capacity the objective was not made with.
    """
    if objective.has_capacity != (plan.capacity is not None):
        raise InputError("capacity: give it to the objective and to its schedule, or to neither")
    handlers: list[ScheduledWeight | AdaptiveBeta] = []
    if plan.schedule == ADAPTIVE:
        handlers.append(AdaptiveBeta(objective, plan.kl_target))
    else:
        start = plan.beta if plan.schedule == "constant" else plan.start
        handlers.append(
            weight_schedule(objective, "beta", plan.schedule, start, plan.beta, plan.epochs, plan.delay, evaluator)
        )
    if plan.capacity is not None:
        rise = (0.0, plan.capacity, plan.capacity_epochs)
        handlers.append(weight_schedule(objective, "capacity", "linear", *rise, evaluator=evaluator))
    return Together(handlers)
