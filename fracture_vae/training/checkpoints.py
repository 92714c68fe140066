"""Checkpoints: the best three models, and the last point from which training can go on as if never stopped.

Every file holds tensors and primitives only, is written whole or not at all, and loads with ``weights_only=True``.
"""

import hashlib
import json
import logging
import math
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.files import replacing, write_text
from fracture_vae.networks import load_state
from fracture_vae.training.about import About, read_about
from fracture_vae.training.early_stopping import EarlyStopping
from fracture_vae.training.metrics import key_value
from fracture_vae.training.run_folder import META_FILE, finished

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
LAST = "last.pt"
BEST_INDEX = "best.json"


def save(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write ``content`` (tensors and primitives) to ``path`` atomically.

    Raises:
        InputError: when it cannot be written.
    """
    with (
        replacing(path) as temporary,
        temporary.open("wb") as file,
    ):  # an open file, as PyTorch does not say what failed
        torch.save(dict(content), file)


def load(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the content of a checkpoint this package wrote.

    Raises:
        InputError: when the file is missing, damaged, no checkpoint, or holds more than tensors and primitives.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint")
    _check_sums(path)
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: needs unsafe loading (it holds more than tensors and numbers) or is no checkpoint; "
            "save its state_dict alone and use that"
        ) from error
    except Exception as error:  # damaged bytes lead the unpickler into whatever they spell, IndexError among them
        raise InputError(f"{path}: damaged, or no checkpoint of PyTorch's; copy or train it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a checkpoint; save a state_dict")
    return content


def weights_of(content: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """Return the state dict of a loaded checkpoint: this package's, or one by itself; ``where`` names the file.

    Raises:
        InputError: when it holds none.
    """
    state = content.get("network", content)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{where}: holds no state dict under 'network' or by itself; save the network's state_dict")
    return state


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return what stands for a model's weights, whatever lies beside them in its checkpoint: a SHA-256."""
    found = hashlib.sha256()
    for name, value in weights.items():
        found.update(name.encode() + value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _check_sums(path: str | os.PathLike[str]) -> None:
    """Compare the checksums PyTorch writes but does not check: a flipped bit would be another model."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile:
        return  # no archive of PyTorch's: loading says what is wrong with it
    except (EOFError, OSError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(f"{path}: damaged; copy or train it again") from error
    if damaged is not None:
        raise InputError(f"{path}: damaged (checksum of {damaged}); copy or train it again")


class Checkpoints:
    """Writes ``last.pt`` each epoch and keeps the ``keep`` best models by the evaluator's key metric (lower is better).

    Attach it to the trainer after the validation handler.

    Args:
        run_dir: the run folder; files go to its ``checkpoints/``.
        network: the model saved, under the key ``network``.
        about: what the model is, saved as JSON beside the weights under ``about``.
        evaluator: the validation engine.
        resumable: whatever else training needs to go on (optimizer, loader, …), by name; each has ``state_dict``
            and ``load_state_dict``.
        keep: how many best models.
        enabled: False writes nothing, for runs of which only the figures are wanted.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        network: nn.Module,
        about: About,
        evaluator: Engine,
        resumable: Mapping[str, Any],
        keep: int = 3,
        enabled: bool = True,
    ) -> None:
        self.folder = Path(run_dir) / FOLDER
        self.network = network
        self.about = about
        self.evaluator = evaluator
        self.resumable = dict(resumable)
        self.keep = keep
        self.enabled = enabled
        self.best: list[dict[str, Any]] = []
        self._engine: Engine | None = None

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; only the first process writes."""
        self._engine = engine
        if idist.get_rank() > 0 or not self.enabled:
            return
        self.evaluator.add_event_handler(Events.COMPLETED, self._save_best, engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save_last)

    def _model(self, epoch: int) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "about": replace(self.about, epoch=epoch).to_json()}

    def _save_best(self, evaluator: Engine, trainer: Engine) -> None:
        entry: dict[str, Any] = {
            "file": f"epoch_{trainer.state.epoch:04d}.pt",
            "epoch": trainer.state.epoch,
            "value": key_value(evaluator),
        }
        if not math.isfinite(entry["value"]):
            return
        ranked = sorted([*self.best, entry], key=lambda e: (e["value"], e["epoch"]))
        kept, dropped = ranked[: self.keep], ranked[self.keep :]
        if entry in kept:
            save(self.folder / entry["file"], self._model(trainer.state.epoch))
            write_text(self.folder / BEST_INDEX, json.dumps(kept, indent=2) + "\n")
            for old in dropped:
                (self.folder / old["file"]).unlink(missing_ok=True)
        self.best = kept

    def _save_last(self, engine: Engine) -> None:
        save(
            self.folder / LAST,
            {
                **self._model(engine.state.epoch),
                "best": self.best,
                "epoch": engine.state.epoch,
                "iteration": engine.state.iteration,
                "rng": _rng_state(),
                **{f"resume/{name}": item.state_dict() for name, item in self.resumable.items()},
            },
        )

    def resume(self, run: str | os.PathLike[str] | None) -> None:
        """Go on from the ``last.pt`` of the run folder ``run``; None starts afresh.

        A run that had trained all its epochs when it was killed trains no more: it does what comes after the last one.

        Raises:
            InputError: when there is nothing to go on from, it belongs to another architecture, or it is done.
        """
        if run is None:
            return
        if self._engine is None:
            raise RuntimeError("attach to a trainer before resuming")
        path = Path(run) / FOLDER / LAST
        content = load(path)
        needed = {"about": str, "best": list, "epoch": int, "iteration": int, "network": dict, "rng": dict}
        for name, kind in {**needed, **{f"resume/{name}": dict for name in self.resumable}}.items():
            if not isinstance(content.get(name), kind):
                raise InputError(f"{path}: nothing to go on from, it has no '{name}'; give a run folder of this bundle")
        _require_same(read_about(content, str(path)), self.about, str(path))
        best = _entries(content["best"], str(path))
        if content["epoch"] >= self._engine.state.max_epochs and finished(run):
            raise InputError(f"{path}: already trained {content['epoch']} epochs; raise max_epochs to go on")
        load_state(self.network, content["network"], str(path))
        self.best = best
        self._engine.state.epoch = content["epoch"]
        self._engine.state.iteration = content["iteration"]
        loads: dict[str, tuple[Callable[[Any], Any], Any]] = {"rng": (_set_rng_state, content["rng"])}
        loads |= {name: (item.load_state_dict, content[f"resume/{name}"]) for name, item in self.resumable.items()}
        for name, (take, state) in loads.items():
            try:
                take(state)
            except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
                raise InputError(
                    f"{path}: its state of '{name}' does not fit this run; go on with the settings it had"
                ) from error
        stopping = self.resumable.get("early_stopping")
        stopped = isinstance(stopping, EarlyStopping) and stopping.due and not finished(run)
        if stopped or content["epoch"] >= self._engine.state.max_epochs:
            logger.info("all %d epochs are trained: doing what was left to do after them", content["epoch"])
            # Ignite begins anew where no epoch is left, so there is one, which is not begun
            self._engine.state.max_epochs = content["epoch"] + 1
            self._engine.add_event_handler(Events.STARTED, Engine.terminate)


def _require_same(before: About, now: About, where: str) -> None:
    """Refuse to go on with other data or another preprocessing: patients would move from training to validation."""
    for key in ("fold", "trained_on", "preprocessing", "size", "data"):
        if getattr(before, key) != getattr(now, key):
            told = "on other data" if key == "data" else f"with another {key}"
            raise InputError(f"{where}: was trained {told}; go on with the data and settings it had")


def best_checkpoint(run: str | os.PathLike[str]) -> Path:
    """Return the best model's file in the run folder ``run``.

    Raises:
        InputError: when the folder holds no model, or its index is damaged.
    """
    folder = Path(run) / FOLDER
    if (folder / BEST_INDEX).is_file():
        return folder / _read_index(folder / BEST_INDEX)[0]["file"]
    if (folder / LAST).is_file():
        return folder / LAST
    if (Path(run) / META_FILE).is_file() and not folder.exists():
        raise InputError(f"{run}: this run kept no weights; train it again with --save-weights")
    raise InputError(f"{run}: no {FOLDER}/{BEST_INDEX} or {FOLDER}/{LAST}; give a run folder, a checkpoint or a bundle")


def _read_index(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged, it is not JSON; give one of the checkpoints beside it") from error
    entries = _entries(content, str(path))
    if not entries or not (path.parent / entries[0]["file"]).is_file():
        raise InputError(f"{path}: names no checkpoint that is there; give one of the checkpoints beside it")
    return entries


def _entries(content: Any, where: str) -> list[dict[str, Any]]:
    """Return the best models, if that is what ``content`` is: file (a plain name), epoch and value of each."""
    sound = isinstance(content, list) and all(isinstance(entry, dict) and _is_entry(entry) for entry in content)
    if not sound:
        raise InputError(f"{where}: its list of the best models is damaged; give one of the checkpoints beside it")
    return list(content)


def _is_entry(entry: Mapping[str, Any]) -> bool:
    file, epoch, value = (entry.get(name) for name in ("file", "epoch", "value"))
    named = isinstance(file, str) and bool(file) and Path(file).name == file
    return named and isinstance(epoch, int) and isinstance(value, float | int)


def _rng_state() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_rng_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
