"""Matrices of samples × features, such as expression profiles, for the fully connected autoencoders."""

from fracture_vae.cohort.vectors.matrix import MATRIX_ENDS, Matrix, is_matrix, read_matrix
from fracture_vae.cohort.vectors.standardise import STANDARDS, Standard, fit_standard

__all__ = ["MATRIX_ENDS", "STANDARDS", "Matrix", "Standard", "fit_standard", "is_matrix", "read_matrix"]
