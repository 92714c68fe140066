"""A trained 2D network and its images: to the latent space and back."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.files import read_json
from fracture_vae.maps.model import ModelFile, find_models, load_network
from fracture_vae.networks import VAE, VQVAE, Autoencoder, build_network
from fracture_vae.networks.priors import StandardPrior, VampPrior
from fracture_vae.report.recorded import recorded_study
from fracture_vae.training.images import ImageDataset
from fracture_vae.training.run_folder import RESOLVED_CONFIG
from fracture_vae.training.study import open_study

_BATCH = 500


@dataclass(frozen=True)
class LatentModel:
    """A network in evaluation mode, and the test part of the data it was trained on.

    Attributes:
        network: an autoencoder, a VAE or a 2D VQ-VAE.
        run: its run folder.
        checkpoint: the file its weights are from.
        data: name of the data set.
        images: its test part, of every class, also where the network has seen some only.
        normal: the classes it has seen, or None for all.
    """

    network: VAE | VQVAE | Autoencoder
    run: Path
    checkpoint: Path
    data: str
    images: ImageDataset
    normal: tuple[int, ...] | None

    @property
    def title(self) -> str:
        """Run and checkpoint, for the top of a figure."""
        return f"{self.run.name}, {self.checkpoint.name}"

    @property
    def pictures(self) -> bool:
        """Whether a sample is a picture, not a vector."""
        return len(self.images.size) == 3

    @property
    def quantized(self) -> bool:
        """Whether the latent space is a grid of codes, without a prior and without dimensions that mean anything."""
        return isinstance(self.network, VQVAE)

    @property
    def prior(self) -> StandardPrior | VampPrior | None:
        """A VAE's prior."""
        return self.network.prior if isinstance(self.network, VAE) else None

    @property
    def standard(self) -> bool:
        """Whether N(0, 1) is the prior of every latent dimension."""
        return isinstance(self.prior, StandardPrior)

    @torch.no_grad()
    def encode(self, samples: Tensor) -> Tensor:
        """Return (N, d): a VAE's posterior means, a code, or a VQ-VAE's vectors before quantisation, one after another.

        Args:
            samples: (N, *shape) in [0, 1].
        """
        parts = []
        for batch in samples.split(_BATCH):
            found = self.network.encode(batch)
            parts.append((found if isinstance(found, Tensor) else found.mean).flatten(1))
        return torch.cat(parts)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Return the samples (N, *shape) of z (N, d); a VQ-VAE quantises first."""
        if isinstance(self.network, VQVAE):
            return self.network.decode(self.network.quantize(self._grid(z)).quantized)
        return self.network.to_sample(self.network.decode(z))

    @torch.no_grad()
    def codes(self, z: Tensor) -> Tensor:
        """Return a VQ-VAE's codes (N, h · w) of z (N, d), row by row of its grid."""
        assert isinstance(self.network, VQVAE)
        return self.network.quantize(self._grid(z)).codes.flatten(1)

    def _grid(self, z: Tensor) -> Tensor:
        assert isinstance(self.network, VQVAE)
        grid = [-(-size // self.network.downsampling) for size in self.images.size[1:]]
        return z.unflatten(1, (-1, *grid))


def open_latent(run: str | Path) -> LatentModel:
    """Return the best model of a 2D run, and the test part of its data.

    Args:
        run: a run folder, or a checkpoint in one.

    Raises:
        InputError: no such run, one without weights, one of volumes, a network without a latent space, or data that is
            not here.
    """
    model = find_models(run)[0]
    if model.about.data is None or model.about.network is None:
        raise InputError(
            f"{run}: no run on images or vectors, whose latent space this shows; give one of mnist_ae, mnist_vae or "
            "mnist_vq"
        )
    network = load_network(build_network(**model.about.network), model.path, "cpu")
    if not isinstance(network, VAE | VQVAE | Autoencoder):
        kind = type(network).__name__
        raise InputError(f"{run}: no latent space is known of a {kind}; give a run of an autoencoder, VAE or VQ-VAE")
    folder = model.path.resolve().parent.parent
    normal = model.about.data.get("normal")
    return LatentModel(
        network, folder, model.path, str(model.about.data.get("name")), _test_images(run, folder, model),
        tuple(normal) if isinstance(normal, list) else None,
    )  # fmt: skip


def _test_images(run: str | Path, folder: Path, model: ModelFile) -> ImageDataset:
    """Return the test part of the very data that the model was trained on."""
    config = read_json(folder / RESOLVED_CONFIG)
    try:
        study = recorded_study(config, model.about.data or {}, open_study)
    except InputError as error:
        raise InputError(f"{run}: {error}") from error
    images = ImageDataset(
        study.test, binarize=bool(config.get("binarize")), binarize_by=config.get("binarize_by", "middle")
    )
    shape = (model.about.network or {}).get("shape")
    if shape is not None and tuple(shape) != images.size:
        raise InputError(f"{run}: its network is for samples of {shape}, its data has {list(images.size)}; train again")
    return images
