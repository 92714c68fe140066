"""A prior is trained over the codes of a model that is trained already, on the same patients."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fracture_vae.cohort.manifest import Cohort, pseudonym
from fracture_vae.errors import InputError
from fracture_vae.files import sha256
from fracture_vae.networks import WithPrior, build_network, find_vqvae
from fracture_vae.training.about import read_about
from fracture_vae.training.checkpoints import best_checkpoint, load
from fracture_vae.training.session import load_checkpoint
from fracture_vae.transforms import Preprocessing


def with_prior(
    checkpoint: str | Path | None,
    cohort: Cohort,
    fold: int,
    preprocessing: Preprocessing,
    prior: Mapping[str, Any],
) -> WithPrior:
    """Return the VQ-VAE of ``checkpoint``, a detector's too, with a prior yet to be trained.

    Args:
        checkpoint: a checkpoint, or a run folder of this fold or of all; its model was trained on ``cohort`` without
            ``fold``, with this ``preprocessing``.
        cohort: what the prior will be trained on.
        fold: the one that will validate it.
        preprocessing: of the volumes.
        prior: fields of :class:`~fracture_vae.networks.TokenPriorConfig`.

    Raises:
        InputError: for a model of another kind, fold, cohort or preprocessing: the prior would have seen its own
            validation, or codes that mean something else.
    """
    if checkpoint is None:
        raise InputError("vqvae_checkpoint is not set: a prior needs a trained VQ-VAE, its run folder or checkpoint")
    file = _of_fold(Path(checkpoint), fold)
    content = load(file)
    about = read_about(content, str(file))
    if about.network is None:
        raise InputError(f"{file}: does not say what network it holds; train it with fracture-vae train")
    if about.fold != fold:
        raise InputError(
            f"{file}: validated on fold {about.fold}, this run on fold {fold}; give the model of this fold"
        )
    patients = {pseudonym(case.patient_id) for case in cohort.training(fold)}
    if about.cohort_sha256 != sha256(cohort.path) or set(about.trained_on) != patients:
        raise InputError(f"{file}: was trained on another cohort than {cohort.path}; give one that was trained on it")
    if about.preprocessing != preprocessing:
        raise InputError(f"{file}: was trained with {about.preprocessing}; set intensity and its bounds likewise")
    trained = build_network(**about.network)
    load_checkpoint(trained, file)
    vqvae = find_vqvae(trained)
    if vqvae is None:
        raise InputError(f"{file}: a {about.network['name']} has no grid of codes; a prior needs a VQ-VAE's")
    definition: Any = vqvae.definition
    network = build_network("with_prior", reconstructor=dict(definition), **prior)
    assert isinstance(network, WithPrior)
    network.reconstructor.load_state_dict(vqvae.state_dict())
    return network


def _of_fold(path: Path, fold: int) -> Path:
    """Return the checkpoint that ``path`` is, or the best one of the run there."""
    if not path.is_dir():
        return path
    own = path / f"fold_{fold}"
    return best_checkpoint(own if own.is_dir() else path)
