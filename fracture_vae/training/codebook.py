"""A codebook that starts from data, and its use over an epoch."""

import logging
from collections.abc import Iterable

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from fracture_vae.networks import VQVAE
from fracture_vae.training.acceleration import Acceleration

logger = logging.getLogger(__name__)

VECTORS_PER_CODE = 8
"""Encoder vectors gathered per code before a data-dependent initialisation."""


class CodebookInitialiser:
    """Before the first step, gives the quantizer encoder vectors to start from, if it asks for them.

    Vectors come from training batches passed through the encoder as in training (batch statistics, no gradient).

    Args:
        network: the VQ-VAE.
        loader: yields training batches.
        acceleration: how the encoder runs.
    """

    def __init__(self, network: VQVAE, loader: Iterable[dict[str, Tensor]], acceleration: Acceleration) -> None:
        self.network = network
        self.loader = loader
        self.acceleration = acceleration

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:  # noqa: ARG002
        """Initialise the quantizer if it asks for vectors."""
        quantizer = self.network.quantizer
        if not quantizer.needs_vectors:
            return
        quantizer.initialise(self._vectors(VECTORS_PER_CODE * quantizer.num_codes))

    @torch.no_grad()
    def _vectors(self, wanted: int) -> Tensor:
        self.network.train()
        gathered: list[Tensor] = []
        count = 0
        for batch in self.loader:
            with self.acceleration.autocast():
                z = self.network.encode(self.acceleration.arrange(batch["image"].to(self.acceleration.device)))
            gathered.append(z.float().movedim(1, -1).reshape(-1, z.shape[1]))
            count += len(gathered[-1])
            if count >= wanted:
                break
        logger.info("codebook of %d starts from %d encoder vectors", self.network.quantizer.num_codes, count)
        return torch.cat(gathered)


class CodebookUse:
    """Adds ``perplexity`` and ``codebook_usage`` of each epoch to an engine's metrics.

    Attach it to the trainer before the validation handler, whose run counts anew.
    """

    def __init__(self, network: VQVAE) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._measure)

    def _reset(self, engine: Engine) -> None:  # noqa: ARG002
        self.network.quantizer.reset_usage()

    def _measure(self, engine: Engine) -> None:
        usage = self.network.quantizer.usage()
        engine.state.metrics["perplexity"] = usage.perplexity
        engine.state.metrics["codebook_usage"] = usage.used
