"""What a bundle's config needs from the way it was started: where it lies, what was overridden, and strictness.

MONAI takes an override that names no key without a word, and gives a config no way to learn where its own file
is. Both are known further up the stack: the file in the ``ConfigWorkflow`` that is being initialised, the
overrides in the arguments of ``monai.bundle.create_workflow``, which is what ``python -m monai.bundle run`` and
this package's own commands call. A bundle evaluates what depends on them in its ``initialize`` list.
"""

import inspect
import json
import logging
import re
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import isfinite
from pathlib import Path
from traceback import walk_tb
from types import FunctionType, TracebackType
from typing import Any, NamedTuple

from monai.bundle import ConfigParser, ConfigWorkflow, ReferenceResolver
from monai.bundle.properties import TrainProperties
from monai.bundle.scripts import create_workflow
from monai.utils import ensure_tuple

from fracture_vae.configs import is_expression, reached, references, references_at, require_effect, texts, value_at
from fracture_vae.errors import InputError, exit_status, known_cause, nearest

_TRACKING_KEYS = {"output_dir", "tracking_uri", "experiment_name", "run_name", "save_execute_config"}
_OWN_ARGUMENTS = {"workflow_name", "config_file", "args_file", "run_id", "init_id", "final_id"} | {
    name
    for name, parameter in inspect.signature(ConfigWorkflow.__init__).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
}

_ASKED_FOR = {ReferenceResolver.split_id(asked["id"])[0] for asked in TrainProperties.values()} | {"finalize"}
"""Keys that MONAI wants a bundle to have, used or not, and the program it runs in the end."""
_ELSEWHERE = "Not all config files are in"
"""What MONAI says where an overlay lies in another folder than train.json, as variants do."""
_NONE = "$None"
"""How MONAI is told an override that is None, which it would pass over; as an expression it is taken."""
_BUILDS_ON = "_builds_on_"
"""The key by which an overlay names another one, without ``.json``, that must lie below it."""
_SUITED = re.compile(r"\$@suited\['(?P<key>\w+)'\]")
"""What stands for a setting that a bundle lets the cohort choose, from its ``suits``."""
_CHOICE = {"suits", "suited"}
"""The sections of a bundle that lets the cohort choose; what is chosen are settings of their own."""
_ONE_SUIT = re.compile(r"\$@suits\['(?P<key>\w+)'\]")
"""What stands for ``suited`` where an overlay chooses, whatever the cohort."""
_RESOLVE = ReferenceResolver._resolve_one_item.__code__


class Invocation(NamedTuple):
    """How a bundle was started: its config files in merging order, and the overrides by config id."""

    config_files: tuple[Path, ...]
    overrides: Mapping[str, Any]


def invocation() -> Invocation | None:
    """Return how the bundle now being started was, or None where that was not through ``create_workflow``."""
    arguments = _locals_of(create_workflow)
    if arguments is None:
        return None
    given = dict(ConfigParser.load_config_file(arguments["args_file"])) if arguments["args_file"] else {}
    given |= {key: value for key, value in arguments["kwargs"].items() if value is not None}
    files = tuple(Path(f).resolve() for f in ensure_tuple(arguments["config_file"]))
    allowed = _OWN_ARGUMENTS | (_TRACKING_KEYS if given.get("tracking") else set())
    return Invocation(files, {key: value for key, value in given.items() if key not in allowed})


def bundle_root() -> str:
    """Return the folder of the bundle being started (the one above ``configs/``), absolute.

    Raises:
        InputError: when no bundle workflow is being started.
    """
    folder = _workflow().config_root_path.resolve()
    return str(folder.parent if folder.name == "configs" else folder)


def start() -> None:
    """First thing a bundle does: refuse overrides unknown or idle, and show bad input as one line with status 2."""
    started = invocation() or Invocation((), {})
    sys.excepthook = partial(_one_line, {}, {})  # files that do not fit together are told in a line too
    config = load(started.config_files) if started.config_files else {}
    sys.excepthook = partial(_one_line, config, _given(started.config_files, started.overrides))
    check_overrides(config, started.overrides)
    require_effect(config, started.overrides)


def load(config_files: Sequence[Path]) -> dict[str, Any]:
    """Return the merged content of ``config_files``, as MONAI merges them.

    Raises:
        InputError: for a file that is missing, does not parse or holds no object, or a key of a later one that the
            earlier ones lack and nothing refers to, or one that builds on another that is not among the earlier.
    """
    parser = ConfigParser()
    for file in config_files:
        if not file.is_file():
            raise InputError(f"{file}: no such config file")
    try:
        contents = [ConfigParser.load_config_file(file) for file in config_files]
        for file, content in zip(config_files, contents, strict=True):
            if not isinstance(content, Mapping):
                raise InputError(f'{file}: holds no keys with values; write an object, such as {{"batch_size": 2}}')
        parser.read_config(list(config_files))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{', '.join(map(str, config_files))}: does not parse: {error}") from error
    config = dict(parser.config)
    config.pop("_meta_", None)
    _check_overlays(config, config_files, contents)
    return config


def _check_overlays(config: Mapping[str, Any], files: Sequence[Path], contents: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a new key that has no use: no text refers to it, and it is no list, which could be a program to run."""
    _require_bases(files, contents)
    known = {_section(key) for content in contents[:1] for key in content}
    referred = {ReferenceResolver.split_id(ref)[0] for ref in references(config)}
    for file, content in zip(files[1:], contents[1:], strict=True):
        for key, value in content.items():
            section = _section(key)
            if not (section in known | referred or section.startswith("_") or isinstance(value, list)):
                hint = nearest(section, known)
                raise InputError(f"{file}: the config has no key '{section}', and nothing refers to it{hint}")
        known |= {_section(key) for key in content}
        told = [key for key, value in content.items() if not (value is None or isinstance(value, Mapping))]
        _require_use(config, told, f"{file}: ")


def built_on(overlay: Path) -> str | None:
    """Return the name of the overlay that ``overlay`` builds on, if any."""
    base: str | None = ConfigParser.load_config_file(overlay).get(_BUILDS_ON)
    return base


def _require_bases(files: Sequence[Path], contents: Sequence[Mapping[str, Any]]) -> None:
    below: set[str] = set()
    for file, content in zip(files[1:], contents[1:], strict=True):
        base = content.get(_BUILDS_ON)
        if base is not None and base not in below:
            raise InputError(f"{file}: builds on {base}.json; give that one before it")
        below.add(file.stem)


def _section(key: str) -> str:
    """Return the first part of a key of a config file; a leading ``+`` tells MONAI to merge."""
    return str(ReferenceResolver.split_id(key)[0]).lstrip("+")


def _given(config_files: Sequence[Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that stands over a bundle's own config: the keys of the overlays, and the overrides."""
    overlays = [ConfigParser.load_config_file(file) for file in config_files[1:]]
    return {**{key.lstrip("+"): value for overlay in overlays for key, value in overlay.items()}, **overrides}


def resolved_config(suited: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the config of the bundle being started with its overrides in place, expressions unevaluated.

    But for the settings that the cohort chose: what they are is given by ``suited`` and stands there, so that a run
    that goes on does as it did.
    """
    config = dict(_workflow().parser.config)
    config.pop("_meta_", None)
    return config if suited is None else {**_with_chosen(config, suited), "suited": dict(suited)}


def _with_chosen(part: Any, suited: Mapping[str, Any]) -> Any:
    """Return part of a config with what stands for a setting of ``suited`` replaced by it."""
    if isinstance(part, Mapping):
        return {key: _with_chosen(value, suited) for key, value in part.items()}
    if isinstance(part, list):
        return [_with_chosen(value, suited) for value in part]
    said = _SUITED.fullmatch(part) if isinstance(part, str) else None
    return part if said is None else suited[said["key"]]


def check_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any], where: str = "override --") -> None:
    """Require that every override names a key that ``config`` has, and is of the kind of its value there.

    None and expressions may stand for anything, and may be replaced by anything; a switch may be ``auto`` as well.
    None may be without effect, as where an overlay has put in an objective that has no such weight.

    Args:
        config: of the bundle.
        overrides: ids of the config and their values.
        where: what a message names an override by, put before its id.

    Raises:
        InputError: for the first that does not, with the nearest key or the value it has; for a text that MONAI would
            change.
    """
    for override, value in overrides.items():
        if _section(override) in _CHOICE and config.keys() >= _CHOICE:
            raise InputError(f"{where}{override}: set what the cohort chooses itself, such as learning_rate, not this")
        if apart := [text for text in texts(value) if "#" in text and not is_expression(text)]:
            raise InputError(
                f"{where}{override}: '{apart[0]}' has a '#', which MONAI's configs read as '::'; rename it"
            )
        owns = _suiting(config, value_at(config, override, where))
        kind = _kind(owns[0])
        if kind is not None and value is not None and not is_expression(value) and not kind.holds(value):
            has = " or ".join(dict.fromkeys(map(_brief, owns)))
            raise InputError(f"{where}{override}: {value!r} is not {kind.name}; the config has {has}")
    _require_use(config, overrides, where)


def _require_use(config: Mapping[str, Any], settings: Iterable[str], where: str) -> None:
    """Refuse a setting of ``config`` that none of its programs comes by: it would change nothing, without a word."""
    programs = [key for key, value in config.items() if key != "imports" and _is_list(value) and references(value)]
    if not programs:
        return
    used = {ReferenceResolver.split_id(part)[0] for part in reached(config, programs)} | set(programs) | _ASKED_FOR
    for setting in settings:
        section = _section(setting)
        if section not in used and section in config and not section.startswith("_"):
            objective = config.get("objective")
            kind = str(objective["_target_"]).rpartition(".")[2] if isinstance(objective, Mapping) else "the rest"
            raise InputError(f"{where}{setting}: would have no effect, {kind} does not use it; leave it out")


def _suiting(config: Mapping[str, Any], own: Any) -> list[Any]:
    """Return what the cohort chooses among where ``own`` says so, else ``own`` alone.

    So too where kinds differ, or are sections, for which a name may stand as well.
    """
    said = _SUITED.fullmatch(own) if isinstance(own, str) else None
    if said is None:
        return [own]
    fixed = _ONE_SUIT.fullmatch(config["suited"]) if isinstance(config["suited"], str) else None
    suits = [config["suits"][fixed["key"]]] if fixed else config["suits"].values()
    choices = [suit[said["key"]] for suit in suits]
    kinds = {kind and kind.name for kind in map(_kind, choices)}
    return choices if len(kinds) == 1 and not isinstance(choices[0], Mapping) else [own]


class _Kind(NamedTuple):
    """A kind of value: what it is called, and whether a value is of it."""

    name: str
    holds: Callable[[Any], bool]


def _kind(own: Any) -> _Kind | None:
    if own is None or is_expression(own):
        return None
    if isinstance(own, bool):
        return _Kind("True or False", lambda value: isinstance(value, bool) or value == "auto")
    if _is_number(own):
        return _Kind("a number", _is_number)
    if isinstance(own, str):
        return _Kind("text", lambda value: isinstance(value, str) or (own == "auto" and isinstance(value, bool)))
    if isinstance(own, Mapping):
        return _Kind("a section with keys of its own", lambda value: isinstance(value, Mapping))
    if own and all(map(_is_number, own)):
        return _Kind("a list of numbers", lambda value: _is_list(value) and all(map(_is_number, value)))
    return _Kind("a list", _is_list)


def _is_number(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and isfinite(value))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _told(value: Any) -> str:
    return "null" if value == _NONE else _brief(value) if isinstance(value, Mapping | list) else repr(value)


def _brief(value: Any) -> str:
    return textwrap.shorten(json.dumps(value, default=str), 60, placeholder=" …")


def settings_at_fault(error: BaseException, config: Mapping[str, Any], overrides: Mapping[str, Any]) -> str | None:
    """Return one line on the settings given that made MONAI fail at a part of the config, or None where none did.

    They are those that the part refers to, or the nearest ones behind what it refers to. An error of a running
    training or inference is no setting's.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code is _RESOLVE]
    root = error
    while root.__cause__ is not None:  # MONAI wraps what its configs raise, once a level
        root = root.__cause__
        frames = [frame for frame, _ in walk_tb(root.__traceback__) if frame.f_code is _RESOLVE] or frames
    reason = (str(root).strip().splitlines() or [type(root).__name__])[0]
    given = {ReferenceResolver.normalize_id(key): key for key in overrides}
    parts = {ReferenceResolver.normalize_id(frames[-1].f_locals["id"])} if frames else set()
    seen: set[str] = set()
    while parts:
        if blamed := [key for id_, key in given.items() if any(f"{id_}::".startswith(f"{part}::") for part in parts)]:
            named = ", ".join(f"{key}={_told(overrides[key])}" for key in blamed)
            return f"{named}: cannot be used ({reason}); see _help_ in the config for what it may be"
        seen |= parts
        parts = {ref for part in parts for ref in references_at(config, part)} - seen
    return None


def run(config_files: Sequence[Path], run_id: str, overrides: Mapping[str, Any]) -> None:
    """Run ``run_id`` of a bundle as ``python -m monai.bundle run`` does.

    Raises:
        InputError: for an override that names no key, before anything runs; and what the bundle itself raises, out
            of the errors MONAI wraps it in.
        PartialFailure: likewise.
    """
    config = load(config_files)
    check_overrides(config, overrides)
    overrides = {key: _NONE if value is None else value for key, value in overrides.items()}
    with warnings.catch_warnings(), _without_message(_ELSEWHERE):
        warnings.filterwarnings("ignore", "parsing config_file", UserWarning)
        try:
            workflow = create_workflow(config_file=[str(file) for file in config_files], run_id=run_id, **overrides)
            workflow.run()
            workflow.finalize()
        except Exception as error:
            known = known_cause(error)
            if known is not None:
                raise known from None
            if (fault := settings_at_fault(error, config, _given(config_files, overrides))) is not None:
                raise InputError(fault) from error
            raise


@contextmanager
def _without_message(beginning: str) -> Iterator[None]:
    """Keep MONAI from logging a message that begins so."""
    logger = logging.getLogger(ConfigWorkflow.__module__)

    def other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(beginning)

    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def _workflow() -> ConfigWorkflow:
    arguments = _locals_of(ConfigWorkflow.initialize)
    if arguments is None:
        raise InputError("the bundle was not started by monai.bundle: pass --bundle_root, the folder above configs/")
    return arguments["self"]


def _locals_of(function: FunctionType) -> dict[str, Any] | None:
    """Return the local variables of the innermost running call of ``function``, None where there is none."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return None if frame is None else inspect.getargvalues(frame).locals


def _one_line(
    config: Mapping[str, Any],
    overrides: Mapping[str, Any],
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
) -> None:
    known = known_cause(error)
    if known is None and (fault := settings_at_fault(error, config, overrides)) is not None:
        known = InputError(fault)
    if known is None:
        sys.__excepthook__(kind, error, traceback)
        return
    print(f"Error: {known}", file=sys.stderr, flush=True)
    raise SystemExit(exit_status(known))
