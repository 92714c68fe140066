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
        common: ids that networks share; these are its own beside a task's, and stand over what the bundle ships.
        over: the training whose network it builds on and leaves as it is.
        idle: ids shared with others that it has no use for.
    """

    about: str
    variant: str | None = None
    settings: Settings = field(default_factory=dict)
    by_task: Mapping[str, Settings] = field(default_factory=dict)
    common: Settings = field(default_factory=lambda: COMMON)
    over: str | None = None
    idle: tuple[str, ...] = ()


_CODES = ("channels", "dropout", "quantizer_options")
# No flip: every hippocampus crop shows the same side. No noise: it would be part of what is to be reconstructed.
TASKS: Mapping[str, Settings] = {
    "hippocampus": {
        "intensity": "percentile",
        "channels": [32, 64, 128],
        "max_epochs": 25,
        "batch_size": 4,
        "augmentation#flip_prob": 0,
        "augmentation#noise_prob": 0,
    },
    "vessel": {
        "intensity": "none",
        "size": [32, 32, 32],
        "channels": [32, 64],
        "max_epochs": 30,
        "batch_size": 16,
        "augmentation#rotate_degrees": 180,
        "augmentation#noise_prob": 0,
        "augmentation#brightness_prob": 0,
        "augmentation#contrast_prob": 0,
    },
}
"""Settings of a task, the same for every network."""

MACHINE: Settings = {"keep_best": 1, "compile": False, "device": "cpu"}
"""Settings that change nothing of what is learnt."""
COMMON: Settings = {
    "dropout": 0.0,
    "quantizer_options": {"num_codes": 256, "dim": 64},
    "optimizer": "AdamW",
    "learning_rate": 3e-3,
    "lr_schedule": "cosine",
    **MACHINE,
}
"""Settings of all networks but the default, which learns as the bundle ships it."""

ANOMALIES: Settings = {
    "name": "repeated",
    "rounds": 2,
    "part": {
        "name": "mixture",
        "clean": 0.1,
        "parts": [
            {"name": "intensity", "size": [0.2, 0.5], "strength": [0.25, 0.6], "weight": 4},
            {"name": "deformation", "size": [0.2, 0.5]},
            {"name": "foreign_patch", "size": [0.2, 0.5], "share": [0.7, 1.0]},
        ],
    },
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
    "default": Training(
        "the bundle as it ships: a head that sees the image and marks its corruptions, by Muon at 0.01; trained here "
        "without the VQ-VAE beside it, with which it is the same to the last bit on images of that one's sizes; of "
        "*vessel*, whose images are of 0 and 1, with corruptions that are",
        "head_alone",
        by_task={"hippocampus": {"size": [48, 64, 48]}, "vessel": {"corruption": BULGES}},
        common=MACHINE,
        idle=("channels",),
    ),
    "plain": Training("reconstruction through 256 codes", "reconstruction"),
    "prior": Training(
        "which of *plain*'s codes are likely, given the others: a masked transformer, by AdamW at 1e-3",
        "prior",
        common=MACHINE,
        over="plain",
        idle=("channels",),
    ),
    "denoising": Training("coarse noise removed by a U-Net (Kascenas et al. 2022)", "unet_denoising", idle=_CODES),
    "denoising_muon": Training(
        "the same by Muon at 0.01, as the default learns",
        "unet_denoising",
        settings={"optimizer": "Muon", "learning_rate": 0.01},
        idle=_CODES,
    ),
    "self_supervised": Training("corruptions undone through 256 codes", "self_supervised", by_task=_CORRUPTED),
    "restoring_unet": Training("corruptions undone by a U-Net", "unet_denoising", by_task=_CORRUPTED, idle=_CODES),
    "discriminative": Training(
        "corruptions undone through 256 codes, and marked by a head that sees image, reconstruction and difference",
        "discriminative",
        by_task=_CORRUPTED,
    ),
}


def settings_of(training: Training, task: str) -> dict[str, Any]:
    """Return the ids of the config that the training is given on a task."""
    epochs = TASKS[task]["max_epochs"]
    length = {"patience": epochs, "val_interval": epochs, "progress": False}
    return {**training.common, **TASKS[task], **training.settings, **training.by_task.get(task, {}), **length}


@dataclass(frozen=True)
class Row:
    """A row of the table: a training, or one of the package's baselines, and how its maps are made.

    Attributes:
        model: a key of `TRAININGS`, of ``training.fitting.BASELINES``, or `MONAI`.
        score: ids of inference.json; empty for what the model was trained for.
        ensemble: maps are means over the trainings of all seeds.
        tasks: those it is measured on.
    """

    model: str
    score: Settings = field(default_factory=dict)
    ensemble: bool = False
    tasks: tuple[str, ...] = tuple(TASKS)

    @property
    def name(self) -> str:
        """The row in words."""
        score = self.score.get("score")
        parts = [self.model, *([str(score)] if score else [])]
        if self.score.get("smoothing_mm"):
            parts.append(f"smoothed {self.score['smoothing_mm']:g} mm")
        if self.score.get("flips"):
            parts.append("flips")
        if self.ensemble:
            parts.append("ensemble")
        return ", ".join(parts)


MONAI = "MONAI VQVAE"
_SMOOTH: Settings = {"smoothing_mm": 1.5}
_FLIPS: Settings = {"flips": [0, 1, 2]}
_MRI, _MASKS = ("hippocampus",), ("vessel",)
_HEAD_MAP: Settings = {"score": "head"}
DEFAULT: Mapping[str, Row] = {
    "hippocampus": Row("default"),
    "vessel": Row("default", _FLIPS, tasks=_MASKS),
}
"""What all other rows of a task are compared with, in pairs; how it is made was chosen on the selection split."""
ROWS: tuple[Row, ...] = (
    Row("volume"),
    Row("intensity"),
    Row("template"),
    Row("template", _SMOOTH),
    Row("pca"),
    Row("pca", _SMOOTH),
    Row(MONAI),
    Row("denoising"),
    Row("denoising", _SMOOTH),
    Row("denoising_muon"),
    Row("denoising_muon", _SMOOTH),
    Row("plain"),
    Row("plain", _SMOOTH),
    Row("plain", {"score": "ssim"}),
    Row("plain", {"score": "code_distance"}),
    Row("prior", {"score": "code_likelihood"}),
    Row("prior", {"score": "restoration", **_SMOOTH}),
    Row("self_supervised"),
    Row("self_supervised", _SMOOTH),
    Row("restoring_unet"),
    Row("restoring_unet", _SMOOTH),
    Row("discriminative", {"score": "l1", **_SMOOTH}),
    Row("discriminative", _HEAD_MAP, tasks=_MRI),
    Row("discriminative", {**_HEAD_MAP, **_FLIPS}, tasks=_MASKS),
    Row("default", _SMOOTH, tasks=_MRI),
    Row("default"),
    Row("default", ensemble=True, tasks=_MRI),
    Row("default", _FLIPS, tasks=_MASKS),
    Row("default", _FLIPS, ensemble=True, tasks=_MASKS),
)
BASELINES: Mapping[str, str] = {
    "volume": "how much tissue a case has",
    "intensity": "the image itself: what is brightest",
    "template": "difference from the mean image of the normal scans",
    "pca": "difference from its projection on 32 principal components of the normal scans",
}
"""Models that are fitted, for the table."""
_DENOISING = ("denoising", "denoising_muon")
SEEDED = ("default",)
"""The models that are trained with several seeds; the others with one."""


def baseline_rows(task: str) -> tuple[Row, ...]:
    """Return the rows of ``task`` that the default is to beat."""
    return tuple(row for row in rows_of(task) if row.model in (*BASELINES, MONAI, *_DENOISING))


def rows_of(task: str) -> tuple[Row, ...]:
    """Return the rows measured on ``task``."""
    return tuple(row for row in ROWS if task in row.tasks)
