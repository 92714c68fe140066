"""What a checkpoint says of itself: one schema, for those who write it and those who read it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fracture_vae.errors import InputError
from fracture_vae.transforms import Preprocessing

FORMAT = 1
"""Raised when a reader of an older package would misunderstand what is written."""


@dataclass(frozen=True)
class About:
    """Enough to rebuild a network, to repeat its preprocessing and padding, and to know whom it has seen.

    All of it is unknown for weights of another origin.

    Attributes:
        network: its registered ``name`` and plain options, for `build_network`.
        preprocessing: how values became [0, 1].
        size: (H, W, D) of the volumes trained on.
        fold: the fold validated on.
        trained_on: pseudonyms of the patients trained on.
        bundle, bundle_version: which bundle trained it.
        config_sha256, cohort_sha256: of the settings that shape it, and of cohort.csv.
        data: of a model that was trained on images or vectors: which, their hash, and the labels taken.
        score: of what its maps are made unless said otherwise, the plain values of ``maps.scores.compose``.
        epoch: after which it was saved.
        format: of what is written.
    """

    network: Mapping[str, Any] | None = None
    preprocessing: Preprocessing | None = None
    size: tuple[int, int, int] | None = None
    fold: int | None = None
    trained_on: tuple[str, ...] = ()
    bundle: str = ""
    bundle_version: str = ""
    config_sha256: str = ""
    cohort_sha256: str = ""
    data: Mapping[str, Any] | None = None
    score: Mapping[str, Any] | None = None
    epoch: int | None = None
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dict(json.loads(self.to_json()))

    def to_json(self) -> str:
        """Return it as text; `read_about` takes it back."""
        return json.dumps(asdict(self))


def read_about(content: Mapping[str, Any], where: str) -> About:
    """Return what a loaded checkpoint says of itself under ``about``; ``where`` names the file.

    What it says becomes part of a bundle's config, so it may hold plain values only: nothing MONAI would evaluate.

    Raises:
        InputError: when it does not parse, holds expressions, references or component names, or a value of another
            kind than its field has, or was written by a newer package.
    """
    try:
        said = json.loads(content.get("about", "{}"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: what it says of itself is not JSON; it was not written by fracture-vae") from error
    if not isinstance(said, dict) or not is_plain(said):
        raise InputError(f"{where}: what it says of itself holds code; do not use a checkpoint you do not trust")
    known = {name: value for name, value in said.items() if name in _FIELDS and value is not None}
    for name, value in known.items():
        if not _FIELDS[name](value):
            raise InputError(
                f"{where}: what it says of itself is damaged ('{name}' is {json.dumps(value)[:60]}); copy or train it "
                "again"
            )
    if known.get("format", FORMAT) > FORMAT:
        raise InputError(f"{where}: written by a newer fracture-vae (format {known['format']}); update this one")
    if "preprocessing" in known:
        known["preprocessing"] = _preprocessing(known["preprocessing"], where)
    tuples = {name: tuple(known[name]) for name in ("size", "trained_on") if name in known}
    return About(**(known | tuples))


def _preprocessing(said: Mapping[str, Any], where: str) -> Preprocessing:
    try:
        return Preprocessing(**said)
    except (TypeError, InputError) as error:
        raise InputError(f"{where}: the preprocessing it was trained with is unknown here ({error})") from error


def is_plain(value: Any) -> bool:
    """Return whether a JSON value stands for itself: a bundle's config would neither evaluate nor build it."""
    if isinstance(value, dict):
        return all(not key.startswith("_") and is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return not (isinstance(value, str) and value.startswith(("$", "@", "%")))


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and Path(value).name == value


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "network": lambda value: isinstance(value, dict) and isinstance(value.get("name"), str),
    "preprocessing": lambda value: isinstance(value, dict),
    "size": lambda value: isinstance(value, list) and len(value) == 3 and all(_is_count(n, 1) for n in value),
    "fold": lambda value: _is_count(value, 1),
    "trained_on": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "bundle": _is_name,
    "bundle_version": _is_text,
    "config_sha256": _is_text,
    "cohort_sha256": _is_text,
    "data": lambda value: isinstance(value, dict),
    "score": lambda value: isinstance(value, dict),
    "epoch": _is_count,
    "format": _is_count,
}
"""Which values each field may have where it is given."""
