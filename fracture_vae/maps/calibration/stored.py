"""A calibration, as a checkpoint carries it: what is usual, how healthy cases of other patients score, and the rate."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.calibration.conformal import PValues, Reference, p_values, threshold
from fracture_vae.maps.calibration.layouts import Layout, Voxels, layout_from
from fracture_vae.maps.calibration.moments import Standard
from fracture_vae.maps.calibration.survival import GRID, voxel_p
from fracture_vae.maps.scores import case_score
from fracture_vae.training.checkpoints import digest, weights_of

KEY = "calibration"
"""Where a checkpoint keeps it, beside its weights."""
FORMAT = 1
"""Raised when a reader of an older package would misunderstand what is written."""


@dataclass(frozen=True)
class Calibration:
    """What the model of one fold is calibrated with.

    Attributes:
        layout, usual: location and spread of healthy maps, from cases that are not among the reference's.
        reference: scores (aggregates of z maps) of the fold's healthy cases, with their patients' pseudonyms.
        survival: the sum of their z maps' `survival`, (T,).
        alpha: the rate of false alarms asked for.
        settings: what the maps and scores were made with, as JSON values; others have no z.
        study: the same for all checkpoints that were calibrated together, and for no others.
        shaped_by: pseudonyms of the patients whose cases gave the moments.
        design: ``cross`` (the moments are the other folds') or ``split`` (other patients' of the same fold).
    """

    layout: Layout
    usual: Standard
    reference: Reference
    survival: Tensor
    alpha: float
    settings: Mapping[str, Any]
    study: str
    shaped_by: tuple[str, ...]
    design: str

    @property
    def threshold(self) -> float:
        """The z a case's score must exceed to be flagged, and a voxel's to be marked; see `conformal.threshold`."""
        return threshold(self.reference, self.alpha)

    def z(self, voxels: Voxels) -> Tensor:
        """Return how many spreads a map lies above what is usual, of its shape; 0 where it is not valid."""
        location, spread = (self.layout.at(table, voxels) for table in (self.usual.location, self.usual.spread))
        return torch.where(voxels.valid, (voxels.map - location) / spread, 0.0)

    def content(self, network: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return it as tensors and text, for a checkpoint with these weights; `calibration_of` takes it back."""
        about = {
            "format": FORMAT,
            "layout": self.layout.plain(),
            "patients": list(self.reference.patients),
            "alpha": self.alpha,
            "settings": dict(self.settings),
            "study": self.study,
            "shaped_by": list(self.shaped_by),
            "design": self.design,
            "weights": digest(network),
        }
        return {
            "about": json.dumps(about),
            "location": self.usual.location,
            "spread": self.usual.spread,
            "scores": torch.from_numpy(self.reference.scores),
            "survival": self.survival,
        }


class Judged(NamedTuple):
    """A case under a calibrated model, or the mean over the models of several folds."""

    z: Tensor
    """Of the map's shape; 0 where it is not valid."""
    p: Tensor
    """The voxels' p-values, of the map's shape; 1 where it is not valid."""
    scores: tuple[float, ...]
    """The aggregate of the z map under each model."""
    p_values: PValues

    @property
    def score(self) -> float:
        """The mean over the models. It scatters less than a single one's: it is not to be ranked among those."""
        return sum(self.scores) / len(self.scores)


def judge(found: Sequence[tuple[Calibration, Voxels]], region: Tensor, fraction: float) -> Judged:
    """Return z, p and score of a case.

    Args:
        found: each model's calibration and its map of the case.
        region: where the score is taken from, of the maps' shape, bool.
        fraction: share of the valid voxels that makes the score.
    """
    valid = found[0][1].valid
    maps = [calibration.z(voxels) for calibration, voxels in found]
    scores = tuple(case_score(z, valid, region, fraction) for z in maps)
    tables = [
        (calibration.survival, len(calibration.reference.scores), z)
        for (calibration, _), z in zip(found, maps, strict=True)
    ]
    references = [calibration.reference for calibration, _ in found]
    return Judged(
        torch.stack(maps).mean(0),
        torch.where(valid, voxel_p(tables), 1.0),
        scores,
        p_values(list(zip(references, scores, strict=True))),
    )


def calibration_of(checkpoint: Mapping[str, Any], where: str) -> Calibration | None:
    """Return the calibration that a loaded checkpoint carries, or None; ``where`` names the file.

    Raises:
        InputError: when it is damaged, of other weights, or was written by a newer package.
    """
    if KEY not in checkpoint:
        return None
    content = checkpoint[KEY]
    broken = InputError(f"{where}: its calibration is damaged; run fracture-vae calibrate again")
    try:
        about = json.loads(content["about"])
        if about["format"] > FORMAT:
            raise InputError(f"{where}: calibrated by a newer fracture-vae (format {about['format']}); update this one")
        layout = layout_from(about["layout"], where)
        reference = Reference(content["scores"].double().numpy(), tuple(map(str, about["patients"])))
        calibration = Calibration(
            layout=layout,
            usual=Standard(content["location"].float(), content["spread"].float()),
            reference=reference,
            survival=content["survival"].double(),
            alpha=float(about["alpha"]),
            settings=dict(about["settings"]),
            study=str(about["study"]),
            shaped_by=tuple(map(str, about["shaped_by"])),
            design=str(about["design"]),
        )
        sound = _is_sound(calibration)
        weights = str(about["weights"])
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise broken from error
    if not sound:
        raise broken
    if weights != digest(weights_of(checkpoint, where)):
        raise InputError(f"{where}: its calibration is of another model's weights; run fracture-vae calibrate again")
    return calibration


def _is_sound(calibration: Calibration) -> bool:
    """Whether the parts fit each other and are numbers."""
    scores, usual = torch.from_numpy(calibration.reference.scores), calibration.usual
    layout = calibration.layout
    shape = (len(layout.places), *layout.cells)
    return (
        0 < calibration.alpha < 1
        and scores.shape == (len(calibration.reference.patients),)
        and usual.location.shape == usual.spread.shape == shape
        and calibration.survival.shape == GRID.shape
        and all(bool(part.isfinite().all()) for part in (scores, usual.location, usual.spread, calibration.survival))
        and bool((usual.spread > 0).all())
    )
