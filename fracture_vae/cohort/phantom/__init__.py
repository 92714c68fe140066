"""A synthetic CT of the thoracolumbar spine whose every vertebra, and every fracture, is known."""

from fracture_vae.cohort.phantom.anatomy import ASKABLE, label_of
from fracture_vae.cohort.phantom.spine import Phantom, simulate_spine

__all__ = ["ASKABLE", "Phantom", "label_of", "simulate_spine"]
