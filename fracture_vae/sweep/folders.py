"""The run folders of a sweep: found again by a digest of the settings they were trained with."""

import copy
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monai.bundle import ConfigParser, ReferenceResolver

from fracture_vae.files import read_json, write_text
from fracture_vae.report.sweep.figures import read_metrics
from fracture_vae.training.checkpoints import FOLDER, LAST
from fracture_vae.training.run_folder import finished, new_run

MARK = "sweep_run.json"
"""In a run folder of a sweep, from before the run starts: its digest and the values swept."""
_LONGEST_NAME = 100
_EPOCHS = "train#trainer#max_epochs"


class Place(NamedTuple):
    """Where a run is to be trained; ``goes_on`` where a checkpoint of it lies there."""

    folder: Path
    goes_on: bool


class Folders:
    """The runs in a sweep's folder.

    Args:
        out: the folder, ``<project_dir>/<group>`` to its runs.

    Raises:
        InputError: when the mark of a run there is damaged.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        marks = [mark for mark in sorted(out.glob(f"*/{MARK}")) if not mark.parent.is_symlink()]  # as latest is
        self._known = {str(read_json(mark).get("digest")): mark.parent for mark in marks}

    def whole(self, digest: str) -> Path | None:
        """Return the folder of the run with these settings that came to its end, or None."""
        folder = self._known.get(digest)
        return folder if folder is not None and finished(folder) else None

    def place(self, digest: str, values: Mapping[str, Any], epochs: int | None) -> Place:
        """Return where the run with these settings, and so many ``epochs``, is to be trained.

        One that died goes on from its last checkpoint. One that left none, or died after its last epoch, with nothing
        to go on to, begins anew in its old folder, emptied.

        Raises:
            InputError: when the sweep's folder cannot hold folders.
        """
        folder = self._known.get(digest)
        if folder is not None and (folder / FOLDER / LAST).is_file() and not _trained(folder, epochs):
            for left in folder.rglob(".writing-*"):  # by a process that was killed
                shutil.rmtree(left)
            return Place(folder, goes_on=True)
        if folder is None:
            folder = Path(new_run(self.out.parent, self.out.name, run_name(values)))
        else:
            shutil.rmtree(folder)
            folder.mkdir()
        write_text(folder / MARK, json.dumps({"digest": digest, "values": dict(values)}, indent=2) + "\n")
        self._known[digest] = folder
        return Place(folder, goes_on=False)


def _trained(folder: Path, epochs: int | None) -> bool:
    return epochs is not None and len(read_metrics(folder)) >= epochs


def epochs_asked(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> int | None:
    """Return how many epochs a run is to train at most, or None where its config does not say."""
    parser = ConfigParser(copy.deepcopy(dict(config)))
    parser.update(dict(overrides))
    try:
        epochs = parser.get_parsed_content(_EPOCHS)
    except Exception:  # the run itself says what is wrong with it
        return None
    return epochs if isinstance(epochs, int) else None


def digest_of(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """Return what identifies a run: a hash of the merged config it starts from and of what is set in it."""
    content = {
        "config": {key: value for key, value in config.items() if not key.startswith("_")},
        "overrides": dict(overrides),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def short_names(keys: tuple[str, ...]) -> dict[str, str]:
    """Return for each key the last part of its id, or the whole id where two end alike."""
    ends = {key: ReferenceResolver.split_id(key)[-1] for key in keys}
    return {key: end if list(ends.values()).count(end) == 1 else key for key, end in ends.items()}


def told(values: Mapping[str, Any], between: str = " ") -> str:
    """Return the swept values in words, such as ``beta=0.5 latent=4``."""
    names = short_names(tuple(values))
    return between.join(f"{names[key]}={_value(value)}" for key, value in values.items())


def run_name(values: Mapping[str, Any]) -> str:
    """Return the last part of a run folder's name: the swept values, without what file systems do not take."""
    return re.sub(r"[^\w.=,+-]+", "_", told(values, ","))[:_LONGEST_NAME]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "x".join(map(_value, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
