"""Networks: pure modules, tensors in and tensors out; no files, no logging."""

from fracture_vae.networks.build import build_network
from fracture_vae.networks.checkpoint import load_state
from fracture_vae.networks.quantizers import (
    CodebookUsage,
    Quantized,
    Quantizer,
    VectorQuantizer,
    build_quantizer,
)
from fracture_vae.networks.vqvae import VQVAE, VQOutput, VQVAEConfig

__all__ = [
    "VQVAE",
    "CodebookUsage",
    "Quantized",
    "Quantizer",
    "VQOutput",
    "VQVAEConfig",
    "VectorQuantizer",
    "build_network",
    "build_quantizer",
    "load_state",
]
