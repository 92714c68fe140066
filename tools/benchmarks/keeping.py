"""What a long benchmark makes, each thing once: kept in files, so that a run that was stopped goes on where it was."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from fracture_vae.bundle import load
from fracture_vae.evaluation.resampling import Estimate
from fracture_vae.files import read_json, write_text

_ELSEWHERE = {
    "bundle_root", "project_dir", "group", "run_name", "resume", "suits", "progress", "mlflow", "wandb",
    "imports", "resolved_config", "initialize", "training",
}  # fmt: skip
"""Parts of a bundle that change nothing of what is learnt; of suits, those that hold are settings themselves."""


@dataclass(frozen=True)
class Keeper:
    """Records below a folder, each under a hash of the settings it was made with.

    Attributes:
        work: the folder.
    """

    work: Path

    def place(self, kind: str, name: str, settings: Any) -> Path:
        """Return where what is made with these settings (JSON values) goes."""
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]
        words = "".join(letter if letter.isalnum() else "_" for letter in name)
        return self.work / kind / f"{words}-{digest}"

    def kept(self, kind: str, name: str, settings: Any, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``make`` returned when it was first asked for with these settings."""
        path = self.place(kind, name, settings).with_suffix(".json")
        if not path.is_file():
            made = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(made, indent=1) + "\n")
        found: dict[str, Any] = read_json(path)
        return found


def settled(configs: Sequence[Path], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a training reads: its settings as they hold, and how the config makes its parts of them.

    Args:
        configs: train.json and the overlays merged over it.
        given: ids of the config and their values.
    """
    config = load(configs)
    parser = ConfigParser(config)
    parser.update(dict(given))
    values = {name: parser.get_parsed_content(name) for name in parser["_help_"] if name not in _ELSEWHERE}
    values["augmentation"] = asdict(parser.get_parsed_content("augmentation"))
    parts = {
        key: part
        for key, part in config.items()
        if not key.startswith("_") and key not in values and key not in _ELSEWHERE
    }
    return {"settings": values, "parts": parts}


def rounded(measures: Mapping[str, Estimate], names: Sequence[str]) -> dict[str, list[float]]:
    """Return those of ``names`` that were measured: value, low and high end, to four decimals."""
    return {name: [round(value, 4) for value in measures[name]] for name in names if name in measures}
