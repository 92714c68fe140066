"""Fully connected encoder and decoder."""

from collections.abc import Iterable
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from fracture_vae.networks.coders.activations import activation, inputs_of
from fracture_vae.networks.coders.config import CoderConfig


class MLPEncoder(nn.Module):
    """(B, *shape) to (B, features), through ``hidden``; without hidden layers the sample itself, flattened."""

    def __init__(self, config: CoderConfig) -> None:
        super().__init__()
        widths = (prod(config.shape), *config.hidden)
        self.features = widths[-1]
        self.depth = len(config.hidden)
        self.layers = nn.Sequential(nn.Flatten(), *(_layer(config, a, b) for a, b in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, F) of x (B, *shape)."""
        return self.layers(x)

    def hidden_features(self, x: Tensor) -> list[Tensor]:
        """Return what each hidden layer gives for x (B, *shape), the last of them the features."""
        return each_output(self.layers.children(), x)[1:]


class MLPDecoder(nn.Module):
    """(B, latent) to (B, *shape), through ``hidden`` from its end."""

    def __init__(self, config: CoderConfig) -> None:
        super().__init__()
        widths = (config.latent, *reversed(config.hidden))
        self.layers = nn.Sequential(
            *(_layer(config, a, b) for a, b in pairwise(widths)), nn.Linear(widths[-1], prod(config.shape))
        )
        self.shape = config.shape

    def forward(self, z: Tensor) -> Tensor:
        """Return (B, *shape) of z (B, latent), before any output function."""
        return self.layers(z).unflatten(1, self.shape)


def each_output(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """Return what every one of ``layers``, one after the other, gives."""
    outputs = []
    for layer in layers:
        x = layer(x)
        outputs.append(x)
    return outputs


def _layer(config: CoderConfig, inputs: int, outputs: int) -> nn.Module:
    width = inputs_of(config.activation, outputs)
    norms = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    norm = norms[config.norm]
    parts: list[nn.Module] = [nn.Linear(inputs, width, bias=config.norm != "batch")]
    if norm is not None:
        parts.append(norm(width))
    parts.append(activation(config.activation))
    if config.dropout:
        parts.append(nn.Dropout(config.dropout))
    return nn.Sequential(*parts)
