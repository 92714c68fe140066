"""Watches a VAE's latent space, and says once when the posterior has collapsed."""

import logging
from collections.abc import Iterable
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE
from fracture_vae.networks.gaussian import Gaussian
from fracture_vae.networks.latent_use import latent_use
from fracture_vae.training.acceleration import Acceleration
from fracture_vae.training.run_log import RunLog

logger = logging.getLogger(__name__)

COLLAPSED_BELOW = 1.0
"""KL divergence (nats an image) under which a posterior counts as collapsed."""
SAMPLES = 10_000
"""Posteriors looked at, at most."""


class LatentWatch:
    """Measures, after each validation, how much of the latent space is used, and warns once of a collapse.

    ``active_units``, ``mutual_information`` (nats) and ``kl`` by dimension (least, median and largest, from N(0, 1)) go
    to the log, the first two to the validation's metrics, and all dimensions to TensorBoard as
    ``val/kl_by_dimension``. What is warned of is the validation's KL divergence from the network's own prior, unless a
    capacity asks for as little.

    Args:
        network: the VAE.
        loader: the validation's batches.
        acceleration: how the encoder runs.
        run_log: owns the TensorBoard writer.
        evaluator: the validation engine.
    """

    def __init__(
        self,
        network: VAE,
        loader: Iterable[dict[str, Tensor]],
        acceleration: Acceleration,
        run_log: RunLog,
        evaluator: Engine,
    ) -> None:
        self.network = network
        self.loader = loader
        self.acceleration = acceleration
        self.run_log = run_log
        self.evaluator = evaluator
        self._warned = False

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self, engine)

    def __call__(self, engine: Engine, trainer: Engine) -> None:
        """Measure, log and, the first time it is due, warn.

        Raises:
            InputError: for a divergence that is not finite: training is lost.
        """
        use = latent_use(self._posteriors())
        kl = use.kl_by_dimension
        if not kl.isfinite().all():
            raise InputError(
                f"training diverged in epoch {trainer.state.epoch} (the KL divergence is not finite): lower "
                "learning_rate, or set precision fp32"
            )
        from_prior = engine.state.metrics.get("kl_loss", float(kl.sum()))
        engine.state.metrics["active_units"] = use.active_units
        engine.state.metrics["mutual_information"] = use.mutual_information
        logger.info(
            "latent space: %d of %d units active, KL %.2f nats (by dimension, from N(0, 1), %.2f / %.2f / %.2f), "
            "I(x;z) about %.2f",
            use.active_units, len(kl), from_prior, kl.min(), kl.median(), kl.max(), use.mutual_information,
        )  # fmt: skip
        if self.run_log.writer is not None:
            self.run_log.writer.add_histogram("val/kl_by_dimension", kl.cpu(), trainer.state.epoch)
        if trainer.state.metrics.get("capacity", COLLAPSED_BELOW) >= COLLAPSED_BELOW:
            self._warn(from_prior, use.active_units)

    def _warn(self, kl: float, active: int) -> None:
        if self._warned or (kl >= COLLAPSED_BELOW and active):
            return
        self._warned = True
        logger.warning(
            "posterior collapse: KL is %.2f nats an image and %d latent units are active, so the decoder all but "
            "ignores the latent vector. Lower beta, let it rise over the first epochs (beta_schedule linear or "
            "cyclical), or give free bits; a higher KL weight makes it worse.",
            kl, active,
        )  # fmt: skip

    @torch.no_grad()
    def _posteriors(self) -> Gaussian:
        means, log_variances, count = [], [], 0
        self.network.eval()
        for batch in self.loader:
            with self.acceleration.autocast():
                q = self.network.encode(self.acceleration.arrange(batch["image"]))
            means.append(q.mean.float())
            log_variances.append(q.log_variance.float())
            count += len(q.mean)
            if count >= SAMPLES:
                break
        return Gaussian(torch.cat(means), torch.cat(log_variances))

    def state_dict(self) -> dict[str, Any]:
        """Return whether the warning was given."""
        return {"warned": self._warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self._warned = state["warned"]
