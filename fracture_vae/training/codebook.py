"""A codebook that starts from data, and its use over an epoch."""

import logging
from collections.abc import Iterable

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from fracture_vae.networks import VQVAE, Quantizer, find_vqvae
from fracture_vae.objectives import seen
from fracture_vae.training.acceleration import Acceleration
from fracture_vae.training.allocator import return_freed_memory
from fracture_vae.training.data import BatchLoader

logger = logging.getLogger(__name__)

VECTORS_PER_CODE = 8
"""Encoder vectors gathered per code before a data-dependent initialisation."""


class CodebookInitialiser:
    """Before the first step, gives a quantizer that asks for them encoder vectors to start from.

    Vectors come from training batches passed through the encoder as in training (batch statistics, no gradient). The
    loader begins anew after it, where it can: what else learns sees the same batches as it would without a codebook.

    Args:
        network: a VQ-VAE, or one that holds one; nothing is done for another.
        loader: yields training batches.
        acceleration: how the encoder runs.
    """

    def __init__(self, network: nn.Module, loader: Iterable[dict[str, Tensor]], acceleration: Acceleration) -> None:
        self.network = find_vqvae(network)
        self.loader = loader
        self.acceleration = acceleration

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:  # noqa: ARG002
        """Initialise the quantizer if it asks for vectors."""
        if self.network is None or not self.network.quantizer.needs_vectors:
            return
        quantizer, loader = self.network.quantizer, self.loader
        state = loader.state_dict() if isinstance(loader, BatchLoader) else {}
        quantizer.initialise(self._vectors(self.network, VECTORS_PER_CODE * quantizer.num_codes))
        if isinstance(loader, BatchLoader):
            loader.load_state_dict(state)
        return_freed_memory()

    @torch.no_grad()
    def _vectors(self, network: VQVAE, wanted: int) -> Tensor:
        network.train()
        gathered: list[Tensor] = []
        count = 0
        for batch in self.loader:
            with self.acceleration.autocast():
                z = network.encode(self.acceleration.arrange(seen(batch).to(self.acceleration.device)))
            gathered.append(z.float().movedim(1, -1).reshape(-1, z.shape[1]))
            count += len(gathered[-1])
            if count >= wanted:
                break
        logger.info("codebook of %d starts from %d encoder vectors", network.quantizer.num_codes, count)
        return torch.cat(gathered)


class CodebookUse:
    """Adds ``perplexity`` and ``codebook_usage`` of each epoch to an engine's metrics, where there is a codebook.

    Attach it to the trainer before the validation handler, whose run counts anew.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or evaluator."""
        vqvae = find_vqvae(self.network)
        if vqvae is not None:
            engine.add_event_handler(Events.EPOCH_STARTED, self._reset, vqvae.quantizer)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._measure, vqvae.quantizer)

    def _reset(self, engine: Engine, quantizer: Quantizer) -> None:  # noqa: ARG002
        quantizer.reset_usage()

    def _measure(self, engine: Engine, quantizer: Quantizer) -> None:
        usage = quantizer.usage()
        engine.state.metrics["perplexity"] = usage.perplexity
        engine.state.metrics["codebook_usage"] = usage.used
