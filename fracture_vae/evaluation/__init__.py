"""Metrics, always with their intervals."""

from fracture_vae.evaluation.auroc import Auroc, auroc, patient_auroc
from fracture_vae.evaluation.stratified import stratified_auroc

__all__ = ["Auroc", "auroc", "patient_auroc", "stratified_auroc"]
