"""Fractures with known truth: breaks vertebrae of a real (or synthetic) CT and says where, how and how much.

`fracture_ct` works on files, `break_vertebrae` on arrays. No torch, no model; the source is docs/fractures.md.
"""

from fracture_vae.cohort.fracture.frame import Body, find_body
from fracture_vae.cohort.fracture.heights import measure
from fracture_vae.cohort.fracture.io import fracture_ct
from fracture_vae.cohort.fracture.parameters import Parameters, draw_candidates
from fracture_vae.cohort.fracture.simulate import Broken, Simulation, break_vertebrae

__all__ = [
    "Body",
    "Broken",
    "Parameters",
    "Simulation",
    "break_vertebrae",
    "draw_candidates",
    "find_body",
    "fracture_ct",
    "measure",
]
