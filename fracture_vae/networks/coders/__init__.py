"""Encoders to a feature vector and decoders from a latent vector, for images and plain vectors of any size."""

from fracture_vae.networks.coders.activations import ACTIVATIONS
from fracture_vae.networks.coders.config import CoderConfig
from fracture_vae.networks.coders.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from fracture_vae.networks.coders.mlp import MLPDecoder, MLPEncoder
from fracture_vae.networks.coders.modulated import ModulatedDecoder

__all__ = ["ACTIVATIONS", "CoderConfig", "Decoder", "Encoder", "build_coders"]

Encoder = MLPEncoder | ConvolutionalEncoder
Decoder = MLPDecoder | ConvolutionalDecoder | ModulatedDecoder


def build_coders(config: CoderConfig) -> tuple[Encoder, Decoder]:
    """Return encoder and decoder of ``config``: (B, *shape) to (B, encoder.features), (B, latent) to (B, *shape)."""
    if config.architecture == "mlp":
        return MLPEncoder(config), MLPDecoder(config)
    decoder = ModulatedDecoder if config.decoder == "modulated" else ConvolutionalDecoder
    return ConvolutionalEncoder(config), decoder(config)
