"""Networks: pure modules, tensors in and tensors out; no files, no logging."""

from fracture_vae.networks.autoencoder import Autoencoder
from fracture_vae.networks.build import build_network
from fracture_vae.networks.checkpoint import load_state
from fracture_vae.networks.coders import CoderConfig
from fracture_vae.networks.detector import Detector
from fracture_vae.networks.fitted import PCA, Blank, Fitted, Template
from fracture_vae.networks.gaussian import Gaussian
from fracture_vae.networks.levels import conditions
from fracture_vae.networks.quantizers import (
    CodebookUsage,
    Quantized,
    Quantizer,
    VectorQuantizer,
    build_quantizer,
)
from fracture_vae.networks.token_prior import TokenPrior, TokenPriorConfig, WithPrior, covered
from fracture_vae.networks.unet import UNet, UNetConfig
from fracture_vae.networks.vae import VAE, VAEOutput
from fracture_vae.networks.vqvae import VQVAE, VQOutput, VQVAEConfig, find_vqvae

__all__ = [
    "PCA",
    "VAE",
    "VQVAE",
    "Autoencoder",
    "Blank",
    "CodebookUsage",
    "CoderConfig",
    "Detector",
    "Fitted",
    "Gaussian",
    "Quantized",
    "Quantizer",
    "Template",
    "TokenPrior",
    "TokenPriorConfig",
    "UNet",
    "UNetConfig",
    "VAEOutput",
    "VQOutput",
    "VQVAEConfig",
    "VectorQuantizer",
    "WithPrior",
    "build_network",
    "build_quantizer",
    "conditions",
    "covered",
    "find_vqvae",
    "load_state",
]
