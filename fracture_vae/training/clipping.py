"""Gradient clipping, and a stop when training has diverged."""

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from fracture_vae.errors import InputError


class GradientClipping:
    """Scales the gradient to at most ``max_norm`` (L2 over all parameters) between backward pass and step.

    Of a network that has ``parts``, each with a loss that does not reach the others, the gradient of each is scaled
    apart: the large gradients of one would otherwise shorten the steps of all.

    Whether every gradient and weight is finite is looked at once an epoch, so that no step waits for the device;
    attach it before the handlers that write checkpoints, which then never hold a diverged model.
    """

    def __init__(self, network: nn.Module, max_norm: float) -> None:
        if not max_norm > 0:
            raise InputError(f"gradient_clip {max_norm}: must be above 0")
        self.parts = [list(part.parameters()) for part in getattr(network, "parts", (network,))]
        self.max_norm = max_norm
        self._finite: Tensor | None = None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check)

    def __call__(self, engine: Engine) -> None:  # noqa: ARG002
        """Clip the gradient that the backward pass left."""
        norms = torch.stack([clip_grad_norm_(part, self.max_norm) for part in self.parts])
        finite = torch.isfinite(norms).all()
        self._finite = finite if self._finite is None else self._finite & finite

    def _check(self, engine: Engine) -> None:
        gradients = self._finite is None or bool(self._finite.item())
        if not gradients or not all(torch.isfinite(parameter).all() for part in self.parts for parameter in part):
            raise InputError(
                f"training diverged in epoch {engine.state.epoch} (a {'weight' if gradients else 'gradient'} is not "
                "finite): lower learning_rate, or set precision fp32"
            )
