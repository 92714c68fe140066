"""Finding a trained model and bringing it back."""

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from fracture_vae.errors import InputError
from fracture_vae.files import sha256
from fracture_vae.maps.scores import Composition, compose
from fracture_vae.networks import build_network
from fracture_vae.training.about import About, read_about
from fracture_vae.training.checkpoints import best_checkpoint, digest, load, weights_of
from fracture_vae.training.run_folder import BUNDLE_COPY, followed
from fracture_vae.training.session import load_checkpoint
from fracture_vae.transforms import Preprocessing

MODEL_FILE = "models/model.pt"
"""Where a bundle keeps its weights."""


class ModelFile(NamedTuple):
    """A checkpoint and what it says of itself."""

    path: Path
    about: About


def find_models(run: str | Path) -> list[ModelFile]:
    """Return the model of a run folder, a checkpoint or a bundle; one a fold for a run of all folds.

    Raises:
        InputError: when there is none.
    """
    path = followed(Path(run))
    if path.is_file():
        return [ModelFile(path, read_about(load(path), str(path)))]
    if not path.is_dir():
        raise InputError(f"{path}: no such run folder, checkpoint or bundle")
    numbered = [folder for folder in path.glob("fold_*/checkpoints") if folder.parent.name[5:].isdecimal()]
    folds = sorted(numbered, key=lambda folder: int(folder.parent.name[5:]))
    if folds:
        return [model for folder in folds for model in find_models(folder.parent)]
    if (path / "configs").is_dir():
        if not (path / MODEL_FILE).is_file():
            raise InputError(f"{path}: this bundle has no {MODEL_FILE}; train it, or give a run folder or a checkpoint")
        return find_models(path / MODEL_FILE)
    return find_models(best_checkpoint(path))


def find_bundle(model: ModelFile, bundles: Path) -> Path:
    """Return the bundle whose configs run ``model``: the copy in its run folder, its own, or the one in ``bundles``.

    Raises:
        InputError: when there is none.
    """
    folder = model.path.resolve().parent.parent
    candidates = [folder / BUNDLE_COPY, folder, bundles / model.about.bundle]
    for candidate in candidates:
        if (candidate / "configs" / "inference.json").is_file():
            return candidate
    raise InputError(f"{model.path}: no bundle found that runs it; pass --bundle, the folder above its configs/")


def as_trained(
    checkpoint: str | Path,
    intensity: str | None = None,
    hu_window: Sequence[float] | None = None,
    percentiles: Sequence[float] | None = None,
) -> Preprocessing:
    """Return the preprocessing of ``checkpoint``'s training, with what is given (not None) in its place.

    Volumes that are in [0, 1] already (``none``) go with every model, and a model trained on such goes with every
    method; but another method, window or percentiles than trained with would show a healthy scan as anomalous.

    Raises:
        InputError: when what is given contradicts the checkpoint.
    """
    trained = read_about(load(checkpoint), str(checkpoint)).preprocessing or Preprocessing()
    settings: dict[str, Any] = {"intensity": intensity, "hu_window": hu_window, "percentiles": percentiles}
    asked = replace(trained, **{name: value for name, value in settings.items() if value is not None})
    if "none" in (trained.intensity, asked.intensity):
        return asked
    told = {"intensity": None, "hu_window": "hu_window", "percentiles": "percentile"}
    for name, method in told.items():
        was, now = getattr(trained, name), getattr(asked, name)
        if was != now and method in (None, asked.intensity):
            raise InputError(f"{name} {now}: {checkpoint} was trained with {was}; leave it out, or set intensity none")
    return asked


def network_of(checkpoint: str | Path, otherwise: nn.Module) -> nn.Module:
    """Return the network that ``checkpoint`` says it holds, untrained; ``otherwise`` where it does not say.

    Raises:
        InputError: for a file that is no checkpoint, or a network there is not.
    """
    said = read_about(load(checkpoint), str(checkpoint)).network
    return build_network(**said) if said else otherwise


def load_network(network: nn.Module, checkpoint: str | Path, device: torch.device | str) -> nn.Module:
    """Return ``network`` on ``device`` in evaluation mode, with the weights of ``checkpoint``.

    ``checkpoint`` is one this package wrote, or a plain state dict.

    Raises:
        InputError: when the file cannot be loaded safely or holds another architecture.
    """
    load_checkpoint(network, checkpoint)
    return network.to(device).eval()


def load_networks(
    network: nn.Module, checkpoint: str | Path, ensemble: Sequence[str | Path], device: torch.device | str
) -> list[nn.Module]:
    """Return ``network`` with the weights of ``checkpoint``, and copies of it with those of each of ``ensemble``.

    Raises:
        InputError: as `load_network`; for a member that is another network, or takes other images.
    """
    _require_alike(checkpoint, ensemble)
    copies = [deepcopy(network) for _ in ensemble]
    pairs = zip([network, *copies], [checkpoint, *ensemble], strict=True)
    return [load_network(own, file, device) for own, file in pairs]


def _require_alike(checkpoint: str | Path, ensemble: Sequence[str | Path]) -> None:
    """Require that checkpoints say the same network and preprocessing of themselves, where they say something."""
    if not ensemble:
        return
    first, *others = (read_about(load(file), str(file)) for file in (checkpoint, *ensemble))
    for name, told in (("network", "is another network"), ("preprocessing", "was trained with another preprocessing")):
        for member, other in zip(ensemble, others, strict=True):
            pair = [getattr(about, name) for about in (first, other)]
            if None not in pair and pair[0] != pair[1]:
                raise InputError(
                    f"{member}: {told} than {checkpoint}; give an ensemble of one network, such as a run's folds"
                )


def as_composed(checkpoint: str | Path, **over: Any) -> Composition:
    """Return the composition of maps that ``checkpoint`` was trained for, with what is given (not None) in its place.

    Args:
        checkpoint: one that says nothing of it was trained for ``l1``.
        over: ``score``, ``flips``, ``smoothing_mm``, ``body_mask``, ``positive_only``, ``top_fraction``; see
            :func:`~fracture_vae.maps.scores.compose`.

    Raises:
        InputError: for a score or a value there is not.
    """
    return compose(read_about(load(checkpoint), str(checkpoint)).score, **over)


def describe(checkpoint: str | Path, ensemble: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Return what is written beside every map about the model: its file (links such as
    ``latest``, which soon lead elsewhere, followed), hash and what it says of itself.

    ``weights`` are hashes of the weights alone, sorted: they say which model it is, whatever calibration lies beside
    them. A network that has none is known by what its checkpoint says of it.

    An ``ensemble`` of further checkpoints has no fold, was trained on the patients of all of them, and its hash is of
    their hashes, which are listed, in whatever order they were given.

    Raises:
        InputError: for what is no checkpoint, or one that is there twice.
    """
    content = load(checkpoint)
    said, weights = read_about(content, str(checkpoint)), weights_of(content, str(checkpoint))
    known_by = digest(weights) if weights else hashlib.sha256(str(content.get("about")).encode()).hexdigest()
    alone = {
        "checkpoint": str(Path(checkpoint).resolve()),
        "sha256": sha256(checkpoint),
        "weights": [known_by],
        **said.plain(),
    }
    if not ensemble:
        return alone
    members = [alone, *map(describe, ensemble)]
    for place, member in enumerate(members):
        if any(member["sha256"] == other["sha256"] for other in members[:place]):
            raise InputError(f"{member['checkpoint']}: is in the ensemble twice; give it once")
    hashes = sorted(member["sha256"] for member in members)
    return {
        **alone,
        "fold": None,
        "trained_on": sorted({patient for member in members for patient in member["trained_on"]}),
        "sha256": hashlib.sha256("".join(hashes).encode()).hexdigest(),
        "weights": sorted({weights for member in members for weights in member["weights"]}),
        "ensemble": [{key: member[key] for key in ("checkpoint", "sha256", "fold")} for member in members],
    }
