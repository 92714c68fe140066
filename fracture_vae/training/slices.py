"""The middle planes of one validation image, its reconstruction and the error, for TensorBoard."""

from collections.abc import Iterable

import torch
from ignite.engine import Engine, Events
from matplotlib.image import imsave
from torch import Tensor, nn

from fracture_vae.files import replacing
from fracture_vae.training.acceleration import Acceleration
from fracture_vae.training.run_log import RunLog

ERROR_GAIN = 4.0
"""The error picture shows 4 · |x - x̂|, or it would be black."""


class ValidationSlices:
    """After each validation logs ``val/original_slice``, ``val/recon_slice`` and ``val/error_slice``.

    ``figures/validation.png`` in the run folder shows the latest, one below the other.

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
        image = next(iter(self.loader))["image"][:1].to(self.acceleration.device)
        if image.dim() < 4:  # vectors have no pictures
            return
        self.network.eval()
        with self.acceleration.autocast():
            reconstruction = self.network(self.acceleration.arrange(image)).float()
        error = ((image - reconstruction).abs() * ERROR_GAIN).clamp(0, 1)
        pictures = []
        for name, volume in (("original", image), ("recon", reconstruction), ("error", error)):
            picture = planes(volume[0, 0].cpu())
            pictures.append(picture)
            self.run_log.writer.add_image(f"val/{name}_slice", picture, trainer.state.epoch, dataformats="HW")
        with replacing(self.run_log.path.parent / "figures" / "validation.png") as temporary:
            imsave(temporary, torch.cat(pictures).numpy(), cmap="gray", vmin=0, vmax=1)


def planes(volume: Tensor) -> Tensor:
    """Return the middle sagittal, coronal and axial planes of a RAS volume (H, W, D) side by side.

    As a radiologist looks at them: superior, respectively anterior, up; the patient's front, respectively right, on
    the left. A 2D image is returned as it is.
    """
    if volume.dim() == 2:
        return volume
    h, w, d = (size // 2 for size in volume.shape)
    views = [view.T.flip(0, 1) for view in (volume[h], volume[:, w], volume[:, :, d])]
    height = max(view.shape[0] for view in views)
    return torch.cat([torch.nn.functional.pad(view, (0, 0, 0, height - view.shape[0])) for view in views], dim=1)
