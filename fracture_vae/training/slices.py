"""Planes of one validation image, what the network makes of it and where they differ, for TensorBoard."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from ignite.engine import Engine, Events
from matplotlib.image import imsave
from torch import Tensor, nn

from fracture_vae.files import replacing
from fracture_vae.networks import Detector, conditions
from fracture_vae.objectives import seen
from fracture_vae.training.acceleration import Acceleration
from fracture_vae.training.run_log import RunLog

ERROR_GAIN = 4.0
"""The error picture shows 4 · |x - x̂|, or it would be black."""


class ValidationSlices:
    """After each validation logs ``val/original_slice``, ``val/recon_slice`` and ``val/error_slice``.

    Where images are corrupted also ``val/corrupted_slice``, which the network saw, and ``val/anomaly_slice``, through
    the middle of what was changed; of a detector ``val/probability_slice``. ``figures/validation.png`` in the run
    folder shows the latest, one below the other.

    Args:
        run_log: whose TensorBoard writer is used.
        network: maps (B, 1, *spatial) to its reconstruction.
        loader: validation batches; the first image of the first is shown.
        evaluator: the validation engine.
        acceleration: how the network runs.
    """

    def __init__(
        self,
        run_log: RunLog,
        network: nn.Module,
        loader: Iterable[dict[str, Tensor]],
        evaluator: Engine,
        acceleration: Acceleration,
    ) -> None:
        self.run_log = run_log
        self.network = network
        self.loader = loader
        self.evaluator = evaluator
        self.acceleration = acceleration

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        self.evaluator.add_event_handler(Events.COMPLETED, self._log, engine)

    @torch.no_grad()
    def _log(self, evaluator: Engine, trainer: Engine) -> None:  # noqa: ARG002
        if self.run_log.writer is None:
            return
        batch = next(iter(self.loader))
        first = {name: value[:1].to(self.acceleration.device) for name, value in batch.items()}
        if first["image"].dim() < 4:  # vectors have no pictures
            return
        at = middle(first["anomaly"][0, 0]) if "anomaly" in first else None
        pictures = []
        for name, volume in self._volumes(first).items():
            picture = planes(volume[0, 0].cpu(), at)
            pictures.append(picture)
            self.run_log.writer.add_image(f"val/{name}_slice", picture, trainer.state.epoch, dataformats="HW")
        with replacing(self.run_log.path.parent / "figures" / "validation.png") as temporary:
            imsave(temporary, torch.cat(pictures).numpy(), cmap="gray", vmin=0, vmax=1)

    def _volumes(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what to show of a batch, (B, 1, *spatial) each, by name."""
        given, network = self.acceleration.arrange(seen(batch)), self.network.eval()
        shown = {"original": batch["image"]} | ({"corrupted": given} if "corrupted" in batch else {})
        with self.acceleration.autocast():
            made = network(given, *conditions(network, batch.get("level"))).float()
            shown |= {"recon": made, "error": ((given - made).abs() * ERROR_GAIN).clamp(0, 1)}
            if isinstance(network, Detector):
                shown["probability"] = network.locate(given, made).sigmoid()
        return shown | ({"anomaly": batch["anomaly"]} if "anomaly" in batch else {})


def middle(mask: Tensor) -> list[int] | None:
    """Return the place along each axis that has half of a mask's voxels on either side, or None for an empty one."""
    places = mask.nonzero()
    return places.median(0).values.tolist() if len(places) else None


def planes(volume: Tensor, at: Sequence[int] | None = None) -> Tensor:
    """Return the sagittal, coronal and axial planes of a RAS volume (H, W, D) side by side, ``at`` or in the middle.

    As a radiologist looks at them: superior, respectively anterior, up; the patient's front, respectively right, on
    the left. A 2D image is returned as it is.
    """
    if volume.dim() == 2:
        return volume
    h, w, d = (size // 2 for size in volume.shape) if at is None else at
    views = [view.T.flip(0, 1) for view in (volume[h], volume[:, w], volume[:, :, d])]
    height = max(view.shape[0] for view in views)
    return torch.cat([torch.nn.functional.pad(view, (0, 0, 0, height - view.shape[0])) for view in views], dim=1)
