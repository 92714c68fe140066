"""What a sweep's file asks for, checked as a whole before anything starts."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ReferenceResolver

from fracture_vae import bundle as bundles
from fracture_vae.configs import value_at
from fracture_vae.errors import InputError, nearest
from fracture_vae.jobs import training_config, variant_configs
from fracture_vae.sweep.space import Dimension, read_dimension
from fracture_vae.sweep.strict_yaml import read_yaml

SECTIONS = ("bundle", "variant", "configs", "settings", "grid", "search")
SEARCH_KEYS = ("minimise", "trials", "seed", "prune", "space")
PLACED = ("project_dir", "group", "run_name", "run_dir", "resume")
"""Settings that say where a run goes; the sweep decides them."""
MOST_RUNS = 1000
_MOST_SEED = 2**31

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Search:
    """What Optuna is to look for: the values of ``space`` that make the metric ``minimise`` least.

    ``minimise`` is a column of metrics.csv, such as ``val/total_loss``; a run's last value counts. ``prune`` stops runs
    that are worse than the median of the others at the same epoch.
    """

    minimise: str
    trials: int
    space: Mapping[str, Dimension]
    seed: int = 0
    prune: bool = False

    def identity(self) -> dict[str, Any]:
        """Return what makes it the search it is: all but how many trials there are to be."""
        space = {key: repr(dimension) for key, dimension in self.space.items()}
        return {"minimise": self.minimise, "space": space, "seed": self.seed, "prune": self.prune}


@dataclass(frozen=True)
class Sweep:
    """What all runs of a sweep share, and the ``grid`` (every combination is run) or the ``search`` they differ by."""

    file: Path
    bundle: Path
    configs: tuple[Path, ...]
    settings: Values
    grid: Mapping[str, tuple[Any, ...]] | None
    search: Search | None

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that are swept."""
        if self.search is not None:
            return tuple(self.search.space)
        return tuple(self.grid or ())

    def points(self) -> list[dict[str, Any]]:
        """Return the grid's combinations, the last key running fastest; of a search there are none beforehand."""
        if self.grid is None:
            return []
        return [dict(zip(self.grid, chosen, strict=True)) for chosen in itertools.product(*self.grid.values())]


def read_sweep(path: Path) -> Sweep:
    """Return the sweep that the YAML file ``path`` describes. Paths in it are relative to its folder.

    Raises:
        InputError: for anything wrong with it, naming the section and the key: one the bundle's config does not have,
            a value of another kind than the config's, bounds the wrong way round, a key both fixed and swept, …
    """
    content = _section(read_yaml(path), f"{path}", SECTIONS)
    bundle = path.parent / _text(content.get("bundle"), f"{path}: bundle", "bundles/mnist_vae")
    configs = [training_config(bundle)]
    if content.get("variant") is not None:
        configs.extend(variant_configs(bundle, _text(content["variant"], f"{path}: variant", "free_bits")))
    for name in _list(content.get("configs", []), f"{path}: configs"):
        configs.append(path.parent / _text(name, f"{path}: configs", "overlay.json"))
    config = bundles.load(configs)

    settings = content.get("settings")
    settings = {} if settings is None else _section(settings, f"{path}: settings")
    if ("grid" in content) == ("search" in content):
        raise InputError(f"{path}: give either grid (key: list of values) or search (what Optuna is to try)")
    grid = search = None
    if "grid" in content:
        grid = _grid(_section(content["grid"], f"{path}: grid"), f"{path}: grid")
        swept: dict[str, Iterable[Any]] = dict(grid)
    else:
        search = _search(_section(content["search"], f"{path}: search", SEARCH_KEYS), config, f"{path}: search")
        swept = {key: dimension.examples() for key, dimension in search.space.items()}
    _check(config, {key: [value] for key, value in settings.items()}, f"{path}: settings")
    _check(config, swept, f"{path}: {'grid' if search is None else 'search: space'}")
    fixed = {ReferenceResolver.normalize_id(key) for key in settings}
    for key in swept:
        if ReferenceResolver.normalize_id(key) in fixed:
            raise InputError(f"{path}: '{key}' is both fixed under settings and swept; take it out of one of them")
    return Sweep(path, bundle, tuple(configs), settings, grid, search)


def _grid(content: Values, where: str) -> dict[str, tuple[Any, ...]]:
    grid = {key: _values(value, f"{where}: {key}") for key, value in content.items()}
    runs = math.prod(map(len, grid.values()))
    if runs > MOST_RUNS:
        raise InputError(f"{where}: {runs} runs; at most {MOST_RUNS}, or let a search choose among them")
    return grid


def _search(content: Values, config: Values, where: str) -> Search:
    metric = _text(content.get("minimise"), f"{where}: minimise", "val/total_loss")
    if not metric.startswith(("train/", "val/")):
        raise InputError(f"{where}: minimise: '{metric}' is no column of metrics.csv, such as val/total_loss")
    space = _section(content.get("space"), f"{where}: space")
    prune = content.get("prune", False)
    if not isinstance(prune, bool):
        raise InputError(f"{where}: prune: {prune!r} is not true or false")
    return Search(
        minimise=metric,
        trials=_count(content.get("trials"), f"{where}: trials", 1, MOST_RUNS),
        space={
            key: read_dimension(value, value_at(config, key, f"{where}: space: "), f"{where}: space: {key}")
            for key, value in space.items()
        },
        seed=_count(content.get("seed", 0), f"{where}: seed", 0, _MOST_SEED),
        prune=prune,
    )


def _check(config: Values, settings: Mapping[str, Iterable[Any]], where: str) -> None:
    """Require that every setting is one the config has, of its kind, and not the sweep's own."""
    for key, values in settings.items():
        if key in PLACED:
            raise InputError(f"{where}: {key}: a sweep decides where its runs go; give --out instead")
        for value in values:
            _plain(value, f"{where}: {key}")
            bundles.check_overrides(config, {key: value}, f"{where}: ")


def _section(content: Any, where: str, known: tuple[str, ...] | None = None) -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        example = f"{known[0]}: …" if known else "beta: …"
        raise InputError(f"{where}: give keys with values, such as '{example}'")
    for key in content:
        if known is not None and key not in known:
            raise InputError(f"{where}: no '{key}' here, but {', '.join(known)}{nearest(key, known)}")
    return content


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where}: {value!r} is no list; write [a, b]")
    return value


def _values(value: Any, where: str) -> tuple[Any, ...]:
    values = _list(value, where)
    if not values:
        raise InputError(f"{where}: an empty list; give the values to run, such as [0.1, 1]")
    told = [json.dumps(item, sort_keys=True, default=repr) for item in values]
    for index, text in enumerate(told):
        if text in told[:index]:
            raise InputError(f"{where}: {text} is given twice")
    return tuple(values)


def _text(value: Any, where: str, example: str) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}: {'missing' if value is None else repr(value)}; give text, such as {example}")
    return value


def _count(value: Any, where: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        told = "missing" if value is None else repr(value)
        raise InputError(f"{where}: {told}; give a whole number from {least} to {most}")
    return value


def _plain(value: Any, where: str) -> None:
    """Require what JSON can hold: YAML also has dates, sets and infinities."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {value!r} is no number, text, list or section of such") from error
