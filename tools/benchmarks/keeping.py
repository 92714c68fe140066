"""What a long benchmark makes, each thing once: kept in files, so that a run that was stopped goes on where it was."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture_vae.evaluation.resampling import Estimate
from fracture_vae.files import read_json, write_text


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


def rounded(measures: Mapping[str, Estimate], names: Sequence[str]) -> dict[str, list[float]]:
    """Return those of ``names`` that were measured: value, low and high end, to four decimals."""
    return {name: [round(value, 4) for value in measures[name]] for name in names if name in measures}
