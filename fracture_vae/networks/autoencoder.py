"""Autoencoders: a sample to a latent vector and back, by a linear, fully connected or convolutional network."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks.coders import CoderConfig, build_coders
from fracture_vae.registry import NETWORKS

OUTPUTS = ("sigmoid", "identity")


@NETWORKS.add_def("autoencoder", "linear, fully connected or convolutional autoencoder, for images and vectors")
class Autoencoder(nn.Module):
    """A deterministic autoencoder (Hinton & Salakhutdinov 2006).

    Args:
        config: encoder and decoder.
        output: ``sigmoid`` for samples in [0, 1], ``identity`` for others.

    Raises:
        InputError: for an unknown output.
    """

    example: ClassVar[Callable[[], "Autoencoder"]]
    example_shape: ClassVar[tuple[int, ...]] = (4, 1, 12, 12)

    def __init__(self, config: CoderConfig, output: str = "sigmoid") -> None:
        super().__init__()
        require_output(output)
        self.config = config
        self.output = output
        self.encoder, self.decoder = build_coders(config)
        self.to_latent = nn.Linear(self.encoder.features, config.latent)

    @classmethod
    def from_options(cls, output: str = "sigmoid", **config: Any) -> "Autoencoder":
        """Return the autoencoder of these plain values; ``config`` are the fields of :class:`CoderConfig`."""
        return cls(CoderConfig(**config), output)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction (B, *shape) of x (B, *shape), in training and in evaluation."""
        return self.to_sample(self.decode(self.encode(x)))

    def encode(self, x: Tensor) -> Tensor:
        """Latent vectors (B, d) of x (B, *shape)."""
        return self.to_latent(self.encoder(x)).float()

    def decode(self, z: Tensor) -> Tensor:
        """What the decoder gives for z (B, d), (B, *shape), before the output function."""
        return self.decoder(z).float()

    def to_sample(self, decoded: Tensor) -> Tensor:
        """Apply the output function to what ``decode`` gives."""
        return to_sample(decoded, self.output)


def require_output(output: str) -> None:
    """Require one of ``OUTPUTS``.

    Raises:
        InputError: otherwise.
    """
    if output not in OUTPUTS:
        raise InputError(f"output '{output}' is not one of {', '.join(OUTPUTS)}")


def to_sample(decoded: Tensor, output: str) -> Tensor:
    """Return a decoder's answer as a sample."""
    return torch.sigmoid(decoded) if output == "sigmoid" else decoded


Autoencoder.example = staticmethod(lambda: Autoencoder(CoderConfig(shape=(1, 12, 12), latent=3, hidden=(8,))))
