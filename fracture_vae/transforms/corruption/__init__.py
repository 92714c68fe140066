"""What healthy images are spoilt with on purpose, so that a network learns to undo it: draw, apply, and say where."""

from fracture_vae.transforms.corruption.base import (
    CHANGED,
    Corrupted,
    Corruption,
    build_corruption,
    corrupt,
    from_options,
    rows,
)
from fracture_vae.transforms.corruption.collapse import Collapse
from fracture_vae.transforms.corruption.deformation import Deformation
from fracture_vae.transforms.corruption.foreign import ForeignPatch
from fracture_vae.transforms.corruption.growth import Growth
from fracture_vae.transforms.corruption.intensity import Intensity
from fracture_vae.transforms.corruption.masking import MaskedBlocks
from fracture_vae.transforms.corruption.mixture import Mixture
from fracture_vae.transforms.corruption.noise import CoarseNoise
from fracture_vae.transforms.corruption.poisson import PoissonPatch
from fracture_vae.transforms.corruption.repeated import Repeated
from fracture_vae.transforms.corruption.texture import Texture
from fracture_vae.transforms.corruption.two_valued import TwoValued

__all__ = [
    "CHANGED",
    "CoarseNoise",
    "Collapse",
    "Corrupted",
    "Corruption",
    "Deformation",
    "ForeignPatch",
    "Growth",
    "Intensity",
    "MaskedBlocks",
    "Mixture",
    "PoissonPatch",
    "Repeated",
    "Texture",
    "TwoValued",
    "build_corruption",
    "corrupt",
    "from_options",
    "rows",
]
