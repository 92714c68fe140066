"""Scores: from images and what a network makes of them to maps, and from a map to one number a case."""

from fracture_vae.maps.scores.aggregate import TOP_FRACTION, case_score, require_fraction
from fracture_vae.maps.scores.base import Score, build_score
from fracture_vae.maps.scores.composition import Composition, Part, compose, require_served
from fracture_vae.maps.scores.latent import CodeDistance, FeatureDistance, Head
from fracture_vae.maps.scores.plain import Intensity, Volume
from fracture_vae.maps.scores.prior import CodeLikelihood, Restoration
from fracture_vae.maps.scores.residuals import L1, L2, Gradient, MultiScale, Signed, l1, l2
from fracture_vae.maps.scores.seen import Seen
from fracture_vae.maps.scores.similarity import SSIM, SSIMContrast

__all__ = [
    "L1",
    "L2",
    "SSIM",
    "TOP_FRACTION",
    "CodeDistance",
    "CodeLikelihood",
    "Composition",
    "FeatureDistance",
    "Gradient",
    "Head",
    "Intensity",
    "MultiScale",
    "Part",
    "Restoration",
    "SSIMContrast",
    "Score",
    "Seen",
    "Signed",
    "Volume",
    "build_score",
    "case_score",
    "compose",
    "l1",
    "l2",
    "require_fraction",
    "require_served",
]
