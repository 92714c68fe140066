"""Metrics, always with their intervals."""

from fracture_vae.evaluation.auroc import Auroc, auroc
from fracture_vae.evaluation.stratified import stratified_auroc

__all__ = ["Auroc", "auroc", "stratified_auroc"]
