"""What happens to a volume before the network sees it: intensity, padding and augmentation."""

from fracture_vae.transforms.augment import AugmentConfig, AugmentParams, apply, draw
from fracture_vae.transforms.intensity import Preprocessing
from fracture_vae.transforms.padding import cut_back, multiple_of, pad_to

__all__ = [
    "AugmentConfig",
    "AugmentParams",
    "Preprocessing",
    "apply",
    "cut_back",
    "draw",
    "multiple_of",
    "pad_to",
]
