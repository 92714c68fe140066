"""Loading weights into a network, or saying why they do not fit."""

from collections.abc import Mapping

from torch import Tensor, nn

from fracture_vae.errors import InputError


def load_state(network: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load ``state`` into ``network`` if, and only if, every name and shape agrees.

    ``where`` names the file in the message.

    Raises:
        InputError: for weights of another architecture, with the first names or shapes that differ.
    """
    own = network.state_dict()
    differences = [f"{name} is missing" for name in own if name not in state]
    differences += [f"{name} is not in the network" for name in state if name not in own]
    differences += [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    if differences:
        more = f" and {len(differences) - 2} more" if len(differences) > 2 else ""
        raise InputError(
            f"{where}: weights of another architecture ({_describe(state)}; this {type(network).__name__} has "
            f"{_describe(own)}): {'; '.join(differences[:2])}{more}; use the configuration it was trained with"
        )
    network.load_state_dict(state)


def _describe(state: Mapping[str, Tensor]) -> str:
    return f"{len(state)} tensors, {sum(value.numel() for value in state.values()):,} values"
