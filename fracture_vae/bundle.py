"""What a bundle's config needs from the way it was started: where it lies, what was overridden, and strictness.

MONAI takes an override that names no key without a word, and gives a config no way to learn where its own file
is. Both are known further up the stack: the file in the ``ConfigWorkflow`` that is being initialised, the
overrides in the arguments of ``monai.bundle.create_workflow``, which is what ``python -m monai.bundle run`` and
this package's own commands call. A bundle evaluates what depends on them in its ``initialize`` list.
"""

import inspect
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FunctionType, TracebackType
from typing import Any, NamedTuple

from monai.bundle import ConfigParser, ConfigWorkflow, ReferenceResolver
from monai.bundle.scripts import create_workflow
from monai.utils import ensure_tuple

from fracture_vae.errors import InputError, exit_status, known_cause, nearest

_TRACKING_KEYS = {"output_dir", "tracking_uri", "experiment_name", "run_name", "save_execute_config"}
_OWN_ARGUMENTS = {"workflow_name", "config_file", "args_file", "run_id", "init_id", "final_id"} | {
    name
    for name, parameter in inspect.signature(ConfigWorkflow.__init__).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
}


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
    """First thing a bundle does: refuse unknown overrides, and show bad input as one line with status 2."""
    sys.excepthook = _one_line
    started = invocation()
    if started is not None:
        check_overrides(load(started.config_files), started.overrides)


def load(config_files: Sequence[Path]) -> dict[str, Any]:
    """Return the merged content of ``config_files``, as MONAI merges them.

    Raises:
        InputError: for a file that is missing or does not parse.
    """
    parser = ConfigParser()
    for file in config_files:
        if not file.is_file():
            raise InputError(f"{file}: no such config file")
    try:
        parser.read_config(list(config_files))
    except (json.JSONDecodeError, ValueError) as error:
        raise InputError(f"{', '.join(map(str, config_files))}: does not parse: {error}") from error
    config = dict(parser.config)
    config.pop("_meta_", None)
    return config


def resolved_config() -> dict[str, Any]:
    """Return the config of the bundle being started with its overrides in place, expressions unevaluated."""
    config = dict(_workflow().parser.config)
    config.pop("_meta_", None)
    return config


def check_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Require that every override names a key that ``config`` has.

    Raises:
        InputError: for the first that does not, with the nearest key.
    """
    for override in overrides:
        _check_key(config, override)


def _check_key(config: Any, override: str) -> None:
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
            raise InputError(f"override --{override}: the config has no key '{'#'.join(keys[: depth + 1])}'{hint}")
        config = config[key] if isinstance(config, Mapping) else config[int(key)]


def run(config_files: Sequence[Path], run_id: str, overrides: Mapping[str, Any]) -> None:
    """Run ``run_id`` of a bundle as ``python -m monai.bundle run`` does.

    Raises:
        InputError: for an override that names no key, before anything runs; and what the bundle itself raises, out
            of the errors MONAI wraps it in.
        PartialFailure: likewise.
    """
    check_overrides(load(config_files), overrides)
    # MONAI passes over an override that is None; as an expression it is taken
    overrides = {key: "$None" if value is None else value for key, value in overrides.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "parsing config_file", UserWarning)
        try:
            workflow = create_workflow(config_file=[str(file) for file in config_files], run_id=run_id, **overrides)
            workflow.run()
            workflow.finalize()
        except Exception as error:
            known = known_cause(error)
            if known is None and isinstance(error.__cause__, TypeError | ValueError):
                raise InputError(f"the bundle's settings do not fit: {_first_line(error.__cause__)}") from error
            if known is None:
                raise
            raise known from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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


def _one_line(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    known = known_cause(error)
    if known is None:
        sys.__excepthook__(kind, error, traceback)
        return
    print(f"Error: {known}", file=sys.stderr, flush=True)
    raise SystemExit(exit_status(known))
