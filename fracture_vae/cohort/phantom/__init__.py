"""A synthetic CT of the thoracolumbar spine whose every vertebra, and every fracture, is known."""

from fracture_vae.cohort.phantom.spine import Phantom, simulate_spine

__all__ = ["Phantom", "simulate_spine"]
