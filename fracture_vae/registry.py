"""Named stores of what can be plugged in, and the discovery of other packages that fill them.

A component registers with one decorator::

    from fracture_vae.registry import NETWORKS

    @NETWORKS.add_def("my_net", "one line that says what it is")
    class MyNet(torch.nn.Module): ...

A package outside this one is found through the entry-point group ``fracture_vae.plugins``: each entry names a
module whose import registers its components. What each store expects of its members is said in its description
and held by one contract test per store. Every registered class (or function) carries ``example``, a callable
without arguments that returns a small instance the contract test can run.
"""

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from monai.utils import ComponentStore

from fracture_vae.errors import InputError, nearest

ENTRY_POINT_GROUP = "fracture_vae.plugins"


class Store(ComponentStore):
    """A ComponentStore in which a name belongs to whoever registered it first."""

    def add(self, name: str, desc: str, value: Any) -> Any:
        """Store ``value`` under ``name``.

        Raises:
            InputError: when another component has the name already.
        """
        if name in self and _identity(self[name]) != _identity(value):
            raise InputError(
                f"'{name}' in the store {self.name} is taken by {'.'.join(_identity(self[name]))}; "
                f"register {'.'.join(_identity(value))} under another name"
            )
        return super().add(name, desc, value)


def _identity(component: Any) -> tuple[str, str]:
    """Module and name, which stay the same when a module is imported again."""
    return component.__module__, component.__qualname__


NETWORKS = Store(
    "networks", "nn.Module; forward(x) of shape (B, C, *spatial) returns the reconstruction, a tensor of x's shape"
)
QUANTIZERS = Store(
    "quantizers", "networks.quantizers.Quantizer; forward(z) of shape (B, D, *spatial) returns Quantized"
)
OBJECTIVES = Store(
    "objectives", "nn.Module holding a network; forward(batch) returns a NamedTuple of scalars, the first is total"
)
SCORES = Store("scores", "maps.scores.Score, a frozen dataclass; called with a Seen it returns a map (B, 1, *spatial)")
SCHEDULES = Store("schedules", "factory that returns a function from epoch (0, 1, …) to a value")

CORRUPTIONS = Store(
    "corruptions", "transforms.corruption.Corruption; draws what to do to (B, C, *spatial) and returns Corrupted"
)

STORES = {store.name: store for store in (NETWORKS, QUANTIZERS, OBJECTIVES, SCORES, SCHEDULES, CORRUPTIONS)}

_BUILTIN_MODULES = (
    "fracture_vae.transforms.corruption",
    "fracture_vae.networks",
    "fracture_vae.objectives",
    "fracture_vae.training.schedules",
    "fracture_vae.maps.scores",
)


class Plugin(NamedTuple):
    """One entry point of the group: its name, the distribution it comes from, and why it failed (or '')."""

    name: str
    distribution: str
    error: str


class Component(NamedTuple):
    """One registered component as ``fracture-vae plugins`` lists it."""

    store: str
    name: str
    description: str
    origin: str


def load_plugins() -> list[Plugin]:
    """Import the built-in components and every installed plugin; a plugin that fails is reported, not raised."""
    for module in _BUILTIN_MODULES:
        importlib.import_module(module)
    return [_load(entry) for entry in entry_points(group=ENTRY_POINT_GROUP)]


def _load(entry: Any) -> Plugin:
    distribution = entry.dist.name if entry.dist is not None else entry.value
    try:
        entry.load()
    except Exception as error:  # anything a foreign package may raise at import; told to the user by name
        return Plugin(entry.name, distribution, f"{type(error).__name__}: {error}")
    return Plugin(entry.name, distribution, "")


def components() -> Iterator[Component]:
    """Yield everything registered so far, store by store."""
    for store in STORES.values():
        for name, entry in store.components.items():
            yield Component(store.name, name, entry.description, entry.value.__module__)


def get(store: ComponentStore, name: str) -> Any:
    """Return the component called ``name``, loading plugins on first need.

    Raises:
        InputError: when no such component is registered; the nearest name is suggested.
    """
    if name not in store:
        load_plugins()
    if name not in store:
        known = ", ".join(sorted(store.names))
        hint = nearest(name, store.names) or "."
        raise InputError(f"no {store.name[:-1]} is called '{name}'{hint} Known: {known}")
    return store[name]
