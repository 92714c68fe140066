"""From a model and a volume to maps: residuals, inference, and pasting crops back into their source."""

from fracture_vae.maps.cases import CaseDataset, LoadedCase, datalist
from fracture_vae.maps.holdout import record_inference
from fracture_vae.maps.inference import CaseProgress, PaddedInferer, Reconstructed, reconstruct_cases
from fracture_vae.maps.loading import CaseLoader
from fracture_vae.maps.model import ModelFile, as_trained, describe, find_bundle, find_models, load_network
from fracture_vae.maps.scores import case_score
from fracture_vae.maps.table import read_scores
from fracture_vae.maps.writer import MapWriter

__all__ = [
    "CaseDataset",
    "CaseLoader",
    "CaseProgress",
    "LoadedCase",
    "MapWriter",
    "ModelFile",
    "PaddedInferer",
    "Reconstructed",
    "as_trained",
    "case_score",
    "datalist",
    "describe",
    "find_bundle",
    "find_models",
    "load_network",
    "read_scores",
    "reconstruct_cases",
    "record_inference",
]
