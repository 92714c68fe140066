"""The importance-weighted bound of a trained VAE: the figure that VAEs of any objective can be compared by."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE
from fracture_vae.objectives import negative_log_likelihood
from fracture_vae.training.run_log import RunLog

logger = logging.getLogger(__name__)

_AT_A_TIME = 1024  # decoded draws, which bounds the memory


def require_bound(samples: int, images: int) -> None:
    """Require settings that `FinalBound` can do with: ``nll_samples`` of 0 or more, ``nll_images`` of 1 or more.

    Raises:
        InputError: for the first that is no such whole number.
    """
    for name, count, least in (("nll_samples", samples, 0), ("nll_images", images, 1)):
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise InputError(f"{name} is {count!r}; it must be a whole number of at least {least}")


def up_to(likelihood: object) -> str:
    """Return in words what the bound leaves out, with a comma before it; nothing of a Bernoulli likelihood's."""
    return ", but for the Gaussian's constant (½ ln 2π a value)" if likelihood == "gaussian" else ""


def bound_in(log: Mapping[str, Any]) -> float | None:
    """Return the bound on -log p(x), nats a sample, that a run's ``log.json`` holds, or None."""
    validation = log.get("validation")
    nll = validation.get("nll") if isinstance(validation, Mapping) else None
    return float(nll) if isinstance(nll, int | float) else None


class FinalBound:
    """At a run's end measures an upper bound on -log p(x), nats an image, of the first validation images.

    The bound is that of Burda et al. 2016 with ``samples`` draws a sample, whatever the network was trained with; the
    draws are the same for every run. A Gaussian likelihood's constant is left out, as it is of the reconstruction. It
    goes to the log, to TensorBoard and, through the run log, to ``log.json``.

    Attach it to the trainer before the run's curves.

    Args:
        network: the VAE.
        likelihood: as it was trained.
        loader: the validation's batches.
        run_log: takes the figure as ``val/nll``.
        samples: k; 0 leaves it out.
        images: how many images of the validation part, at most.

    Raises:
        InputError: for numbers out of range.
    """

    def __init__(
        self,
        network: VAE,
        likelihood: str,
        loader: Iterable[dict[str, Tensor]],
        run_log: RunLog,
        samples: int = 50,
        images: int = 1000,
    ) -> None:
        require_bound(samples, images)
        self.network = network
        self.likelihood = likelihood
        self.loader = loader
        self.run_log = run_log
        self.samples = samples
        self.images = images

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; only the first process measures."""
        if idist.get_rank() == 0 and self.samples:
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Measure and log."""
        bound = self._measure()
        self.run_log.note("val/nll", float(bound.mean()), engine.state.epoch)
        logger.info(
            "-log p(x) is at most %.2f nats an image%s (k = %d, %d validation images)",
            bound.mean(), up_to(self.likelihood), self.samples, len(bound),
        )  # fmt: skip

    @torch.no_grad()
    def _measure(self) -> Tensor:
        """Return the bound of each image (N,)."""
        self.network.eval()
        device = next(self.network.parameters()).device
        found: list[Tensor] = []
        with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
            torch.manual_seed(0)
            for batch in self.loader:
                x = batch["image"].to(device)[: self.images - sum(map(len, found))]
                chunk = max(1, _AT_A_TIME // len(x))
                found.append(negative_log_likelihood(self.network, x, self.likelihood, self.samples, chunk))
                if sum(map(len, found)) >= self.images:
                    break
        return torch.cat(found)
