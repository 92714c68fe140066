"""Finding a trained model and bringing it back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from fracture_vae.errors import InputError
from fracture_vae.files import sha256
from fracture_vae.training.checkpoints import best_checkpoint, load
from fracture_vae.training.run_folder import BUNDLE_COPY, followed
from fracture_vae.training.session import load_checkpoint

MODEL_FILE = "models/model.pt"
"""Where a bundle keeps its weights."""


class ModelFile(NamedTuple):
    """A checkpoint and what it says of itself (empty for weights of another origin)."""

    path: Path
    about: Mapping[str, Any]


def find_models(run: str | Path) -> list[ModelFile]:
    """Return the model of a run folder, a checkpoint or a bundle; one a fold for a run of all folds.

    Raises:
        InputError: when there is none.
    """
    path = followed(Path(run))
    if path.is_file():
        return [ModelFile(path, about(load(path), str(path)))]
    if not path.is_dir():
        raise InputError(f"{path}: no such run folder, checkpoint or bundle")
    folds = sorted(path.glob("fold_*/checkpoints"), key=lambda folder: int(folder.parent.name.removeprefix("fold_")))
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
    candidates = [folder / BUNDLE_COPY, folder, bundles / str(model.about.get("bundle", ""))]
    for candidate in candidates:
        if (candidate / "configs" / "inference.json").is_file():
            return candidate
    raise InputError(f"{model.path}: no bundle found that runs it; pass --bundle, the folder above its configs/")


def about(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return what a loaded checkpoint says of itself; ``where`` names the file.

    What it says becomes part of a bundle's config, so it may hold plain values only: nothing MONAI would evaluate.

    Raises:
        InputError: when it does not parse, or holds expressions, references or component names.
    """
    try:
        said = json.loads(content.get("about", "{}"))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: what it says of itself is not JSON; it was not written by fracture-vae") from error
    if not isinstance(said, dict) or not _is_plain(said):
        raise InputError(f"{where}: what it says of itself holds code; do not use a checkpoint you do not trust")
    return said


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(not key.startswith("_") and _is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not (isinstance(value, str) and value.startswith(("$", "@", "%")))


def load_network(network: nn.Module, checkpoint: str | Path, device: torch.device | str) -> nn.Module:
    """Return ``network`` on ``device`` in evaluation mode, with the weights of ``checkpoint``.

    ``checkpoint`` is one this package wrote, or a plain state dict.

    Raises:
        InputError: when the file cannot be loaded safely or holds another architecture.
    """
    load_checkpoint(network, checkpoint)
    return network.to(device).eval()


def describe(checkpoint: str | Path) -> dict[str, Any]:
    """Return what is written beside every map about the model: its file, hash and what it says of itself."""
    said = about(load(checkpoint), str(checkpoint))
    return {"checkpoint": str(checkpoint), "sha256": sha256(checkpoint), **said}
