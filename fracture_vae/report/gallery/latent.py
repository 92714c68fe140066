"""A run's latent space made ready for a page: where its images lie in it, and what the decoder makes of the plane.

The decoder itself can't run in the page, so the plane is decoded on a grid beforehand, into one picture of all cells,
and the page blends the four cells around the pointer. What the blending costs is measured here, and told there.
"""

import io
import math
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.model import find_models, load_network
from fracture_vae.networks import VAE, Autoencoder, build_network
from fracture_vae.networks.priors import StandardPrior
from fracture_vae.report.gallery.runs import Run
from fracture_vae.report.recorded import OpenStudy, recorded_study
from fracture_vae.training.images import ImageDataset
from fracture_vae.training.pictures import tiled

SHOWN = 2000
"""Validation images whose place is shown, at most: the first."""
LARGEST_CELL = 64
"""Pixels along the longer side of a decoded image; larger ones are made smaller."""
_FEWEST_CELLS, _MOST_CELLS = 8, 24
_PRIOR_SHOWN = 2.5  # standard deviations of N(0, 1) that a VAE's plane shows at least


class Plane(NamedTuple):
    """Two dimensions of a latent space, decoded.

    Attributes:
        dims: which two, counted from 0.
        latent: of how many.
        use: of these two, by ``measure``.
        measure: what the two were chosen by, in words.
        low, high: what the grid's first and last cell stand for, in both dimensions.
        points: (N, 2), the images' places.
        labels: (N,), their classes.
        cells: along each side of the grid.
        size: (height, width) of a cell.
        sprite: the decoded cells as one picture, PNG; rows from the top, that is from ``high`` of the second dimension.
        blending: how far the blend of four cells is from the decoder's own image midway between them, of a range of
            1: mean over pixels and midpoints, and of the worst pixel of all.
        epoch: after which the model was saved, where it is known.
    """

    dims: tuple[int, int]
    latent: int
    use: tuple[float, float]
    measure: str
    low: tuple[float, float]
    high: tuple[float, float]
    points: Tensor
    labels: Tensor
    cells: int
    size: tuple[int, int]
    sprite: bytes
    blending: tuple[float, float]
    epoch: int | None


class _Codes(NamedTuple):
    """Latent vectors (N, d) of images, and how much each dimension is used (d,), by a measure in words."""

    z: Tensor
    use: Tensor
    measure: str
    normal: bool
    """Whether N(0, 1) is their prior."""


@torch.no_grad()
def decoded_plane(run: Run, open_study: OpenStudy, pixels: int) -> Plane:
    """Return the plane of the two most used latent dimensions of a run's best model, the others at their mean.

    Args:
        run: a run of an autoencoder or a VAE of images that kept its weights.
        open_study: gives the data set by name and folder.
        pixels: the sprite has about so many, as far as 8 to 24 cells a side allow.

    Raises:
        InputError: where there is nothing to explore; the message is a phrase for the page.
    """
    network, epoch = _network(run)
    images, labels = _images(run, open_study, network.config.shape)
    codes = _codes(network, images)
    dims = codes.use.topk(2).indices.sort().values
    points = codes.z[:, dims]
    low, high = _extent(points, codes.normal)
    shown = min(LARGEST_CELL, *images.shape[2:])
    cells = max(_FEWEST_CELLS, min(_MOST_CELLS, int(math.sqrt(pixels) / shown)))
    steps = torch.linspace(0, 1, 2 * cells - 1)  # every other one is a cell, those between are midpoints
    x, y = (low[axis] + steps * (high[axis] - low[axis]) for axis in (0, 1))
    made, between = (_decoded(network, codes.z.mean(0), dims, x[start::2], y[start::2]) for start in (0, 1))
    made = _smaller(made, LARGEST_CELL)
    corners = made.unflatten(0, (cells, cells))
    blend = (corners[1:, 1:] + corners[1:, :-1] + corners[:-1, 1:] + corners[:-1, :-1]).flatten(0, 1) / 4
    away = (blend - _smaller(between, LARGEST_CELL)).abs()
    use = codes.use[dims]
    return Plane(
        dims=(int(dims[0]), int(dims[1])),
        latent=codes.z.shape[1],
        use=(float(use[0]), float(use[1])),
        measure=codes.measure,
        low=(float(low[0]), float(low[1])),
        high=(float(high[0]), float(high[1])),
        points=points,
        labels=labels,
        cells=cells,
        size=(made.shape[2], made.shape[3]),
        sprite=_png(made, cells),
        blending=(float(away.mean()), float(away.max())),
        epoch=epoch,
    )


def _network(run: Run) -> tuple[VAE | Autoencoder, int | None]:
    """Return a run's best model and after which epoch it was saved."""
    try:
        model = find_models(run.folder)[0]
    except InputError as error:
        if not (run.folder / "checkpoints").exists():
            raise InputError("no weights were kept (train with --save-weights)") from error
        raise InputError("its checkpoint can't be used: it is missing or damaged") from error
    if model.about.network is None:
        raise InputError("its checkpoint does not say which network it holds")
    try:
        network = load_network(build_network(**model.about.network), model.path, "cpu")
    except (InputError, RuntimeError, TypeError) as error:  # PyTorch's own for a network of absurd size
        raise InputError("its checkpoint's weights do not fit the network it names") from error
    if not isinstance(network, VAE | Autoencoder):
        raise InputError(f"a {type(network).__name__} has no latent vector to walk along")
    if len(network.config.shape) != 3:
        raise InputError("its samples are vectors, not images")
    if network.config.latent < 2:
        raise InputError("its latent space has one dimension")
    return network, model.about.epoch


def _images(run: Run, open_study: OpenStudy, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the first validation images (N, C, H, W) and their classes (N,), of the very data the run had."""
    config, record = run.config, run.meta.get("data")
    if not isinstance(record, dict):
        raise InputError("the run's record does not name its images")
    try:
        study = recorded_study(config, record, open_study)
        dataset = ImageDataset(
            study.validate,
            config.get("normal"),
            binarize=bool(config.get("binarize")),
            limit=config.get("limit"),
            binarize_by=config.get("binarize_by", "middle"),
        )
        if dataset.size != tuple(shape):
            raise InputError(f"the network is for samples of {shape}")
    except (ValueError, TypeError) as error:  # InputError, or a record that holds other kinds of values
        raise InputError(
            f"its images ({record.get('name')}) are not at hand; fracture-vae data fetches public ones"
        ) from error
    batch = dataset.batch(range(min(SHOWN, len(dataset))))
    return batch["image"], batch["label"]


def _codes(network: VAE | Autoencoder, images: Tensor) -> _Codes:
    if isinstance(network, Autoencoder):
        z = network.encode(images)
        return _Codes(z, z.var(0, unbiased=False), "variance of the code", normal=False)
    q = network.encode(images)
    if isinstance(network.prior, StandardPrior):
        return _Codes(q.mean, q.kl_to_standard().mean(0), "KL divergence, nats", normal=True)
    return _Codes(q.mean, q.mean.var(0, unbiased=False), "variance of the posterior mean", normal=False)


def _extent(points: Tensor, normal: bool) -> tuple[Tensor, Tensor]:
    """Return the lower and upper ends (2,) of what is shown: all points, and of N(0, 1) the middle too."""
    if not points.isfinite().all():
        raise InputError("its encoder gives values that are no numbers")
    low, high = points.amin(0), points.amax(0)
    margin = 0.03 * (high - low)
    low, high = low - margin, high + margin
    if normal:
        low, high = low.clamp(max=-_PRIOR_SHOWN), high.clamp(min=_PRIOR_SHOWN)
    flat = high - low < 1e-6
    return torch.where(flat, low - 1, low), torch.where(flat, high + 1, high)


def _decoded(network: VAE | Autoencoder, z: Tensor, dims: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the images (len(y) · len(x), C, H, W), rows from the largest y, of ``z`` (d,) with ``dims`` at x and y."""
    rows, columns = torch.meshgrid(y.flip(0), x, indexing="ij")
    grid = z.repeat(rows.numel(), 1)
    grid[:, dims] = torch.stack([columns.flatten(), rows.flatten()], 1)
    return network.to_sample(network.decode(grid)).clamp(0, 1)


def _smaller(images: Tensor, longest: int) -> Tensor:
    """Return images no larger than ``longest`` along a side, shrunk by area."""
    factor = -(-max(images.shape[2:]) // longest)
    return torch.nn.functional.avg_pool2d(images, factor) if factor > 1 else images


def _png(images: Tensor, columns: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(tiled(images, columns, gap=0)).save(file, "PNG", optimize=True)
    return file.getvalue()
