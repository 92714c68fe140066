"""What a network learns: modules that hold a network and return its named loss terms, total first."""

from fracture_vae.objectives.vq import VQReconstruction, VQTerms

__all__ = ["VQReconstruction", "VQTerms"]
