"""What happens to a volume before the network sees it: intensity, padding, augmentation and corruption."""

from fracture_vae.transforms.augment import AugmentConfig, AugmentParams, apply, draw
from fracture_vae.transforms.corruption import build_corruption, corrupt
from fracture_vae.transforms.corruption import from_options as corruption_from
from fracture_vae.transforms.intensity import Preprocessing
from fracture_vae.transforms.padding import multiple_of, pad_to

__all__ = [
    "AugmentConfig",
    "AugmentParams",
    "Preprocessing",
    "apply",
    "build_corruption",
    "corrupt",
    "corruption_from",
    "draw",
    "multiple_of",
    "pad_to",
]
