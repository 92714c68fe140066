"""The progress bar: epoch, losses and time left."""

import sys

import ignite.distributed as idist
from ignite.engine import Engine, Events
from tqdm import tqdm

from fracture_vae.training.metrics import key_value


class ProgressBar:
    """One bar over all steps of a training run, on standard error.

    Args:
        evaluator: whose key metric is shown beside the training loss.
        enabled: False shows none; nor do processes other than the first.
    """

    def __init__(self, evaluator: Engine, enabled: bool = True) -> None:
        self.evaluator = evaluator
        self.enabled = enabled
        self.bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        steps = engine.state.max_epochs * engine.state.epoch_length
        self.bar = tqdm(
            total=steps,
            initial=engine.state.iteration,
            desc=f"epoch {engine.state.epoch + 1}/{engine.state.max_epochs}",
            unit="step",
            file=sys.stderr,
            disable=not self.enabled or idist.get_rank() > 0,
            mininterval=0.5,
        )

    def _step(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.set_description(f"epoch {engine.state.epoch}/{engine.state.max_epochs}", refresh=False)
            self.bar.update()

    def _epoch(self, engine: Engine) -> None:
        losses = {"train": key_value(engine)}
        if self.evaluator.state.metrics:
            losses["val"] = key_value(self.evaluator)
        if self.bar is not None:
            self.bar.set_postfix({name: f"{value:.4f}" for name, value in losses.items()}, refresh=False)

    def _close(self, engine: Engine) -> None:  # noqa: ARG002
        if self.bar is not None:
            self.bar.close()
