"""From a model and a volume to maps: residuals, inference, and pasting crops back into their source."""

from fracture_vae.maps.cases import CaseDataset, LoadedCase, datalist, first
from fracture_vae.maps.inference import CaseProgress, PaddedInferer, Reconstructed, reconstruct_case
from fracture_vae.maps.model import ModelFile, as_trained, describe, find_bundle, find_models, load_network
from fracture_vae.maps.scores import case_score
from fracture_vae.maps.writer import MapWriter, read_scores

__all__ = [
    "CaseDataset",
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
    "first",
    "load_network",
    "read_scores",
    "reconstruct_case",
]
