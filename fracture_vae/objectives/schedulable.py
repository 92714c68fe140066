"""Weights that a handler changes between epochs, held as tensors so that a compiled step sees the change."""

import torch
from torch import nn


class Schedulable:
    """A float attribute of a module that lives in a buffer.

    ``torch.compile`` builds a Python float into the graph and compiles again when it changes; a tensor it reads.
    Not part of the state dict: the schedule sets it again.
    """

    def __set_name__(self, owner: type[nn.Module], name: str) -> None:
        self._buffer = f"_{name}"

    def __get__(self, module: nn.Module, owner: type[nn.Module]) -> torch.Tensor:
        return module._buffers[self._buffer]  # type: ignore[return-value]

    def __set__(self, module: nn.Module, value: float) -> None:
        held = module._buffers.get(self._buffer)
        if held is None:
            module.register_buffer(self._buffer, torch.tensor(float(value)), persistent=False)
        else:
            held.fill_(float(value))
