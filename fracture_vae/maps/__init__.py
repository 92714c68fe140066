"""From a model and a volume to maps: scores, inference, and pasting crops back into their source."""

from fracture_vae.maps.calibration.apply import CalibratedMaker, as_calibrated
from fracture_vae.maps.cases import CaseDataset, LoadedCase, datalist, require_apart
from fracture_vae.maps.holdout import record_inference
from fracture_vae.maps.inference import CaseProgress, PaddedInferer, Viewed, view_cases
from fracture_vae.maps.loading import CaseLoader
from fracture_vae.maps.maker import MapMaker
from fracture_vae.maps.model import (
    ModelFile,
    as_composed,
    as_trained,
    describe,
    find_bundle,
    find_models,
    load_network,
    load_networks,
    network_of,
)
from fracture_vae.maps.scores import case_score, compose
from fracture_vae.maps.table import read_scores
from fracture_vae.maps.views import Views
from fracture_vae.maps.writer import MapWriter

__all__ = [
    "CalibratedMaker",
    "CaseDataset",
    "CaseLoader",
    "CaseProgress",
    "LoadedCase",
    "MapMaker",
    "MapWriter",
    "ModelFile",
    "PaddedInferer",
    "Viewed",
    "Views",
    "as_calibrated",
    "as_composed",
    "as_trained",
    "case_score",
    "compose",
    "datalist",
    "describe",
    "find_bundle",
    "find_models",
    "load_network",
    "load_networks",
    "network_of",
    "read_scores",
    "record_inference",
    "require_apart",
    "view_cases",
]
