"""What happens to a volume before the network sees it: intensity, padding and augmentation."""

from fracture_vae.transforms.augment import AugmentConfig, AugmentParams, apply, draw
from fracture_vae.transforms.intensity import Preprocessing
from fracture_vae.transforms.padding import multiple_of, pad_to

__all__ = [
    "AugmentConfig",
    "AugmentParams",
    "Preprocessing",
    "apply",
    "draw",
    "multiple_of",
    "pad_to",
]
