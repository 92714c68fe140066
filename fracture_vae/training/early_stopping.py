"""Stop when validation has not improved for a while."""

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping as IgniteEarlyStopping

from fracture_vae.training.metrics import key_value


class EarlyStopping:
    """Ends a training run after ``patience`` validations without a lower key metric.

    Args:
        evaluator: the validation engine.
        patience: validations to wait.
    """

    def __init__(self, evaluator: Engine, patience: int) -> None:
        self.evaluator = evaluator
        self.patience = patience
        self._handler: IgniteEarlyStopping | None = None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        self._handler = IgniteEarlyStopping(self.patience, lambda run: -key_value(run), engine)
        self.evaluator.add_event_handler(Events.COMPLETED, self._handler)

    @property
    def due(self) -> bool:
        """Whether it has waited long enough, and the run is at its end."""
        return self._handler is not None and self._handler.counter >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return the count of validations without improvement, and the best."""
        return dict(self._handler.state_dict()) if self._handler else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from ``state``."""
        if self._handler:
            self._handler.load_state_dict(state)
