"""What the detection benchmark compares, as plain values: how a network is trained, and what its maps are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Training:
    """A network of the bundle vq3d.

    Attributes:
        about: what it learns, for the table.
        variant: the bundle's variant, or None for train.json as it is.
        settings: ids of the config for all tasks.
        by_task: further ids for one task.
    """

    about: str
    variant: str | None = None
    settings: Settings = field(default_factory=dict)
    by_task: Mapping[str, Settings] = field(default_factory=dict)


# No flip: every hippocampus crop shows the same side. No noise: it would be part of what is to be reconstructed.
TASKS: Mapping[str, Settings] = {
    "hippocampus": {
        "intensity": "percentile",
        "channels": [32, 64, 128],
        "batch_size": 8,
        "augmentation#flip_prob": 0,
        "augmentation#noise_prob": 0,
    },
    "vessel": {
        "intensity": "none",
        "size": [32, 32, 32],
        "channels": [32, 64],
        "batch_size": 16,
        "augmentation#rotate_degrees": 180,
        "augmentation#noise_prob": 0,
        "augmentation#brightness_prob": 0,
        "augmentation#contrast_prob": 0,
    },
}
"""Settings of a task, the same for every network."""

COMMON: Settings = {
    "dropout": 0.0,
    "quantizer_options": {"num_codes": 256, "dim": 64},
    "optimizer": "AdamW",
    "learning_rate": 2e-3,
    "lr_schedule": "cosine",
    "keep_best": 1,
    "device": "cpu",
}

ANOMALIES: Settings = {
    "name": "mixture",
    "clean": 0.15,
    "parts": [
        {"name": "intensity", "size": [0.08, 0.4], "strength": [0.1, 0.6], "weight": 2},
        {"name": "deformation", "size": [0.12, 0.45]},
        {"name": "foreign_patch", "size": [0.08, 0.4]},
    ],
}
BULGES: Settings = {
    "name": "two_valued",
    "part": {
        "name": "mixture",
        "clean": 0.3,
        "parts": [
            {"name": "growth", "size": [0.15, 0.45], "weight": 2},
            {"name": "deformation", "size": [0.2, 0.6], "strength": [0.4, 0.9], "shifts": 0.2},
        ],
    },
}
_CORRUPTED: Mapping[str, Settings] = {"hippocampus": {"corruption": ANOMALIES}, "vessel": {"corruption": BULGES}}

TRAININGS: Mapping[str, Training] = {
    "plain": Training("reconstruction through 256 codes"),
    "masked": Training("hidden blocks restored through 256 codes", "masked"),
    "denoising": Training("coarse noise removed by a U-Net (Kascenas et al. 2022)", "unet_denoising"),
    "self_supervised": Training("corruptions undone through 256 codes", "self_supervised", by_task=_CORRUPTED),
    "discriminative": Training(
        "corruptions undone through 256 codes, and marked", "discriminative", by_task=_CORRUPTED
    ),
}


@dataclass(frozen=True)
class Row:
    """A row of the table: a training, or one of the package's baselines, and how its maps are made.

    Attributes:
        model: a key of `TRAININGS`, of ``training.fitting.BASELINES``, or `MONAI`.
        score: ids of inference.json; empty for what the model was trained for.
    """

    model: str
    score: Settings = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The row in words."""
        score = self.score.get("score")
        parts = [self.model, *([str(score)] if score else [])]
        if self.score.get("smoothing_mm"):
            parts.append(f"smoothed {self.score['smoothing_mm']:g} mm")
        if self.score.get("flips"):
            parts.append("flips")
        return ", ".join(parts)


MONAI = "MONAI VQVAE"
_SMOOTH: Settings = {"smoothing_mm": 1.5}
ROWS: tuple[Row, ...] = (
    Row("volume"),
    Row("intensity"),
    Row("template"),
    Row("template", _SMOOTH),
    Row("pca"),
    Row("pca", _SMOOTH),
    Row(MONAI),
    Row("plain"),
    Row("plain", _SMOOTH),
    Row("plain", {"score": "ssim"}),
    Row("plain", {"score": "code_distance"}),
    Row("masked", _SMOOTH),
    Row("denoising"),
    Row("denoising", _SMOOTH),
    Row("self_supervised"),
    Row("self_supervised", _SMOOTH),
    Row("discriminative", {"score": "l1", **_SMOOTH}),
    Row("discriminative", {"score": "head"}),
)
