"""Objectives: what a network learns. Each holds its network and returns its loss terms by name."""

from fracture_vae.objectives.autoencoding import AETerms, Autoencoding
from fracture_vae.objectives.code_prior import CodePrior, PriorTerms
from fracture_vae.objectives.discriminative import Discriminative
from fracture_vae.objectives.elbo import ELBO, VAETerms
from fracture_vae.objectives.info_vae import InfoVAE, mmd
from fracture_vae.objectives.iwae import IWAE, negative_log_likelihood
from fracture_vae.objectives.perceptual import FeatureDistance
from fracture_vae.objectives.reconstruction import Reconstruction, ReconstructionTerms
from fracture_vae.objectives.restoring import seen
from fracture_vae.objectives.vq import VQReconstruction, VQTerms

__all__ = [
    "ELBO",
    "IWAE",
    "AETerms",
    "Autoencoding",
    "CodePrior",
    "Discriminative",
    "FeatureDistance",
    "InfoVAE",
    "PriorTerms",
    "Reconstruction",
    "ReconstructionTerms",
    "VAETerms",
    "VQReconstruction",
    "VQTerms",
    "mmd",
    "negative_log_likelihood",
    "seen",
]
