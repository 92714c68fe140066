"""What a 2D network makes of images, epoch by epoch: reconstructions, samples, and the plane of two latents."""

from collections.abc import Iterable
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from matplotlib.image import imsave
from numpy.typing import NDArray
from torch import Tensor, nn

from fracture_vae.files import replacing
from fracture_vae.networks import VAE
from fracture_vae.training.acceleration import Acceleration

_SHOWN = 10  # images, each above its reconstruction
_SAMPLES = 64
_PLANE = 15  # points along each axis of a latent plane
_TAIL = 0.03  # share of N(0, 1) left out at either end of an axis


class RunPictures:
    """After each validation writes ``reconstructions/``, for a VAE ``samples/``, and with two latents ``traversals/``.

    Each holds ``epoch_0001.png`` and so on. Images lie above their reconstructions; samples are decoded draws from the
    prior, the same draws each epoch; a traversal is the decoded latent plane at equally likely steps of N(0, 1).
    Vectors have no pictures.

    Args:
        run_dir: the run folder.
        network: an autoencoder, VAE or VQ-VAE of (B, C, H, W).
        loader: validation batches; images of the first are shown.
        evaluator: the validation engine.
        acceleration: how the network runs.
    """

    def __init__(
        self,
        run_dir: str | Path,
        network: nn.Module,
        loader: Iterable[dict[str, Tensor]],
        evaluator: Engine,
        acceleration: Acceleration,
    ) -> None:
        self.run_dir = Path(run_dir)
        self.network = network
        self.loader = loader
        self.evaluator = evaluator
        self.acceleration = acceleration

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; only the first process writes."""
        if idist.get_rank() == 0:
            self.evaluator.add_event_handler(Events.COMPLETED, self._draw, engine)

    @torch.no_grad()
    def _draw(self, evaluator: Engine, trainer: Engine) -> None:  # noqa: ARG002
        images = next(iter(self.loader))["image"][:_SHOWN]
        if images.dim() != 4:
            return
        name = f"epoch_{trainer.state.epoch:04d}.png"
        self.network.eval()
        with self.acceleration.autocast():
            made = self.network(self.acceleration.arrange(images)).float()
            self._save("reconstructions", name, torch.cat([images, made]), len(images))
            if isinstance(self.network, VAE):
                self._save("samples", name, _decoded(self.network, self._draws(self.network)), int(_SAMPLES**0.5))
                if self.network.config.latent == 2:
                    plane = latent_plane(normal_steps(), normal_steps())
                    self._save("traversals", name, _decoded(self.network, plane.to(images)), _PLANE)

    def _draws(self, network: VAE) -> Tensor:
        """Return draws from the prior that do not disturb the run's own."""
        device = self.acceleration.device
        with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
            torch.manual_seed(0)
            return network.prior.sample(_SAMPLES)

    def _save(self, folder: str, name: str, images: Tensor, columns: int) -> None:
        with replacing(self.run_dir / folder / name) as temporary:
            imsave(temporary, tiled(images, columns), cmap="gray", vmin=0, vmax=255)


def _decoded(network: VAE, z: Tensor) -> Tensor:
    return network.to_sample(network.decode(z))


def normal_steps(points: int = _PLANE) -> Tensor:
    """Return (points,) values with equal shares of N(0, 1) between them, from the share ``_TAIL`` to 1 - ``_TAIL``."""
    return torch.special.ndtri(torch.linspace(_TAIL, 1 - _TAIL, points, dtype=torch.float64)).float()


def latent_plane(x: Tensor, y: Tensor) -> Tensor:
    """Return (len(y) · len(x), 2): the grid of two axes' values, rows from the last y, columns from the first x."""
    return torch.stack(torch.meshgrid(y.flip(0), x, indexing="ij")).flip(0).flatten(1).T


def tiled(images: Tensor, columns: int, gap: int = 1) -> NDArray[np.uint8]:
    """Return images (N, C, H, W) in [0, 1] row by row as one picture, (H', W') for one channel, else (H', W', 3)."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    picture = torch.full((channels, rows * (height + gap) - gap, columns * (width + gap) - gap), 0.5)
    for index, image in enumerate(images.float().cpu().clamp(0, 1)):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        picture[:, top : top + height, left : left + width] = image
    values = (picture * 255).round().to(torch.uint8).numpy()
    return values[0] if channels == 1 else values[:3].transpose(1, 2, 0)
