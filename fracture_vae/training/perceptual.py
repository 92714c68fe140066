"""Which encoder a perceptual loss looks through."""

from collections.abc import Sequence
from pathlib import Path

import torch

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE, VQVAE, Autoencoder, build_network, load_state
from fracture_vae.objectives import FeatureDistance
from fracture_vae.training.about import read_about
from fracture_vae.training.checkpoints import best_checkpoint, load
from fracture_vae.training.run_folder import followed

NONE, OWN = "none", "own"


def perceptual_distance(
    source: str, network: Autoencoder | VAE | VQVAE, shape: Sequence[int], device: torch.device | str
) -> FeatureDistance | None:
    """Return the distance of features that ``source`` names, or None for ``none``.

    Args:
        source: ``none``; ``own``, the encoder of ``network`` while it is trained; or a run folder or checkpoint of an
            autoencoder or VAE for samples of the same shape, whose encoder stays as it is.
        network: what is trained.
        shape: of a sample.
        device: where.

    Raises:
        InputError: for a file that is missing, cannot be loaded safely, or holds another kind of network or shape.
    """
    if source == NONE:
        return None
    if source == OWN:
        return FeatureDistance(network.encoder)
    path = followed(Path(source).expanduser())
    if not path.exists():
        raise InputError(f"perceptual '{source}': no such file; give none, own, or a run folder or checkpoint")
    file = best_checkpoint(path) if path.is_dir() else path
    content = load(file)
    definition = dict(read_about(content, str(file)).network or {})
    other = build_network(**definition) if definition else None
    if not isinstance(other, Autoencoder | VAE):
        raise InputError(
            f"perceptual {file}: holds no autoencoder or VAE of this package; train one with --save-weights"
        )
    if other.config.shape != tuple(shape):
        raise InputError(f"perceptual {file}: is for samples of {list(other.config.shape)}, not {list(shape)}")
    load_state(other, content["network"], str(file))
    return FeatureDistance(other.to(device).eval().encoder)
