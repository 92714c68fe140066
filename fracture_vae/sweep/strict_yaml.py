"""YAML as a person writes settings: plain values, every key once, and ``1e-3`` a number."""

import re
from pathlib import Path
from typing import Any

import yaml

from fracture_vae.errors import InputError

_LONGEST = 1_000_000
"""Bytes of the longest file read."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, made strict: no key twice, keys are text, no aliases (a few lines can be gigabytes)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="an alias (*); write the value out", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(problem="a key that is no text; quote it", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"'{key.value}' is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.2 reads 1e-3 as a number; PyYAML, of YAML 1.1, would take it for text
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        InputError: when there is none, it is no YAML, or it holds more than plain values or a key twice.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a sweep's YAML file")
    with path.open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise InputError(f"{path}: longer than {_LONGEST} bytes; give a sweep's YAML file")
    try:
        return yaml.load(content.decode("utf-8"), Loader=_Loader)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text in UTF-8; save it as such") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        told = ", ".join(part for part in (error.context, error.problem) if part)
        raise InputError(f"{path}: {line}{told}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: is no YAML ({error})") from error
