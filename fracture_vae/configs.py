"""A bundle's config as MONAI has merged it: what lies at an id, what refers to what, and what a run comes by."""

from collections.abc import Iterable, Mapping
from typing import Any

from monai.bundle import ReferenceResolver

from fracture_vae.errors import InputError, nearest


def value_at(config: Any, override: str, where: str = "override --") -> Any:
    """Return what the config has at the id an override names.

    Raises:
        InputError: when it has nothing there, beginning with ``where`` and naming the nearest key.
    """
    keys = ReferenceResolver.split_id(override)
    for depth, key in enumerate(keys):
        if isinstance(config, Mapping):
            known = [name for name in config if name != "_meta_"]
        elif isinstance(config, list):
            known = [str(index) for index in range(len(config))]
        else:
            known = []
        if key not in known:
            parents = keys[:depth]
            hint = nearest("#".join(keys[: depth + 1]), ["#".join([*parents, name]) for name in known])
            raise InputError(f"{where}{override}: the config has no key '{'#'.join(keys[: depth + 1])}'{hint}")
        config = config[key] if isinstance(config, Mapping) else config[int(key)]
    return config


def is_expression(value: Any) -> bool:
    """Return whether MONAI evaluates a value, looks it up or takes it from a file."""
    return isinstance(value, str) and value.startswith(("$", "@", "%"))


def references(content: Any) -> set[str]:
    """Return the ids (``a::b``) that any text in part of a config refers to."""
    return {ref for text in texts(content) for ref in ReferenceResolver.match_refs_pattern(text)}


def references_at(config: Mapping[str, Any], part: str) -> set[str]:
    """Return the ids that the part with this id refers to; none where there is no such part, or it runs an engine."""
    try:
        content = value_at(config, part)
    except InputError:
        return set()
    return set() if any(text.endswith(".run()") for text in texts(content)) else references(content)


def reached(config: Mapping[str, Any], starts: Iterable[str]) -> set[str]:
    """Return the ids (``a::b``) of all parts that a run of the parts ``starts`` comes by, those included."""
    found: set[str] = set()
    ahead = {start for start in starts if start in config}
    while ahead:
        found |= ahead
        ahead = {ref for part in ahead for ref in references(_held(config, part))} - found
    return found


def _held(config: Mapping[str, Any], part: str) -> Any:
    """Return what lies at an id, nothing where there is no such part."""
    try:
        return value_at(config, part)
    except InputError:
        return None


def texts(content: Any) -> list[str]:
    """Return every text in part of a config."""
    if isinstance(content, str):
        return [content]
    parts = content.values() if isinstance(content, Mapping) else content if isinstance(content, list) else ()
    return [text for part in parts for text in texts(part)]


def require_effect(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Refuse an override that counts for nothing beside the value of another setting: it would train the default.

    ``_idle_with_`` in the config says of a setting with which values of which others that is so.

    Raises:
        InputError: for the first that changes its setting to no effect, with the other setting and its value.
    """
    given = {**config, **overrides}
    for setting, others in config.get("_idle_with_", {}).items():
        for other, values in others.items():
            if given[setting] != config[setting] and given[other] in values:
                beside = f"{other} {given[other]}"
                raise InputError(
                    f"override --{setting}: would have no effect with {beside}; leave it out, or set {other}"
                )
