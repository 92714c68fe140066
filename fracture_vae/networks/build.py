"""Networks by registered name and plain options, so that a checkpoint can say what it holds without code."""

from typing import Any

from torch import nn

from fracture_vae import registry
from fracture_vae.errors import InputError


def build_network(name: str, **options: Any) -> nn.Module:
    """Return the registered network ``name`` built from plain ``options`` (JSON values).

    A network class may offer ``from_options(**options)``; otherwise its constructor is called. What was asked for is
    kept as ``network.definition``, and :func:`build_network` with it gives the same architecture again.

    Raises:
        InputError: for a name nobody registered, or options the network does not take.
    """
    component = registry.get(registry.NETWORKS, name)
    try:
        network = getattr(component, "from_options", component)(**options)
    except TypeError as error:
        raise InputError(f"network '{name}': {error}") from error
    network.definition = {"name": name, **options}
    return network
