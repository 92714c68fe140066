"""A calibration at work: what an inference adds to a case's maps, row and sidecar."""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from nibabel.affines import voxel_sizes
from torch import Tensor

from fracture_vae.cohort.case import pseudonym
from fracture_vae.errors import InputError
from fracture_vae.maps.calibration.collect import settings_of
from fracture_vae.maps.calibration.conformal import exceeds, joined, threshold
from fracture_vae.maps.calibration.drift import Drift, drift
from fracture_vae.maps.calibration.layouts import Voxels
from fracture_vae.maps.calibration.stored import Calibration, Judged, calibration_of, judge
from fracture_vae.maps.cases import LoadedCase
from fracture_vae.maps.maker import Made, MapMaker
from fracture_vae.training.checkpoints import load

logger = logging.getLogger(__name__)


class CalibratedMaker:
    """Judges cases by the calibrations of one model, or of the models of several folds.

    Args:
        calibrations: one a network, in the networks' order.
        maker: makes the networks' maps.
    """

    def __init__(self, calibrations: Sequence[Calibration], maker: MapMaker) -> None:
        self.calibrations = tuple(calibrations)
        self.maker = maker
        self.alpha = self.calibrations[0].alpha
        self.reference = joined([own.reference for own in calibrations])
        self.threshold = threshold(self.reference, self.alpha)

    def why_not(self, case: LoadedCase, made: Made) -> str:
        """Return why a case has no z, or an empty string."""
        return self.calibrations[0].layout.why_not(_voxels(case, made))

    def __call__(self, case: LoadedCase, shown: Tensor, made: Made) -> Judged:
        """Return z, p and score of a case.

        Args:
            case: as loaded.
            shown: what the networks showed of it.
            made: the map over all of them.
        """
        alone = len(self.calibrations) == 1
        each = [made] if alone else self.maker.each(case, shown)
        found = [(own, _voxels(case, one)) for own, one in zip(self.calibrations, each, strict=True)]
        return judge(found, made.region, self.maker.composition.top_fraction)

    def columns(self, judged: Judged) -> dict[str, Any]:
        """Return what scores.csv says of a case; its q-value waits for the patient's other cases."""
        return {
            "score_z": f"{judged.score:.6g}",
            "p_value": f"{judged.p_values.patient:.6g}",
            "p_case": f"{judged.p_values.case:.6g}",
            "flagged": int(exceeds(judged.p_values.patient, self.alpha)),
        }

    def told(self, judged: Judged) -> dict[str, Any]:
        """Return what a sidecar says of a case; a threshold that nothing exceeds is null.

        ``scores_z`` are the scores under each model, in their order.
        """
        return {
            "alpha": self.alpha,
            "threshold": self.threshold if math.isfinite(self.threshold) else None,
            "score_z": judged.score,
            "scores_z": list(judged.scores),
            "p_value": judged.p_values.patient,
            "p_case": judged.p_values.case,
            "flagged": exceeds(judged.p_values.patient, self.alpha),
            "design": self.calibrations[0].design,
            "healthy_cases": len(self.reference.scores),
            "healthy_patients": len(set(self.reference.patients)),
        }


def _voxels(case: LoadedCase, made: Made) -> Voxels:
    assert case.stored is not None
    spacing = tuple(float(edge) for edge in voxel_sizes(case.stored.ras_affine))
    return Voxels(made.error, case.image, case.valid, str(case.item.get("level", "")), spacing)


def read_calibrations(checkpoints: Sequence[str | Path]) -> list[Calibration]:
    """Return the calibrations that checkpoints carry, or none where none does.

    Raises:
        InputError: when they were not calibrated together, one is there twice, or one is damaged.
    """
    found = [calibration_of(load(checkpoint), str(checkpoint)) for checkpoint in checkpoints]
    known = [calibration for calibration in found if calibration is not None]
    ranked: set[str] = set()
    for checkpoint, calibration in zip(checkpoints, found, strict=True):
        if known and (calibration is None or calibration.study != known[0].study):
            raise InputError(
                f"{checkpoint}: not calibrated together with the other folds' models; run fracture-vae calibrate on "
                "their run"
            )
        own = () if calibration is None else calibration.reference.patients
        if not ranked.isdisjoint(own):
            raise InputError(f"{checkpoint}: ranks the same healthy patients as another of the ensemble; give it once")
        ranked |= {*own}
    return known


def as_calibrated(
    checkpoint: str | Path, ensemble: Sequence[str | Path], maker: MapMaker, score_margin: float | None
) -> CalibratedMaker | None:
    """Return what judges cases as the checkpoints were calibrated; None where they were not, or for other maps.

    Raises:
        InputError: as `read_calibrations`.
    """
    calibrations = read_calibrations([checkpoint, *ensemble])
    if not calibrations:
        return None
    settings = settings_of(maker, score_margin)
    if differing := _differing(calibrations[0].settings, settings):
        logger.warning(
            "no z and p maps: %s was calibrated with another %s; calibrate again with --set, or leave it as it was",
            checkpoint,
            ", ".join(differing),
        )
        return None
    return CalibratedMaker(calibrations, maker)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def drift_of_normals(
    told: Mapping[str, Mapping[str, Any] | None],
    items: Sequence[Mapping[str, Any]],
    calibrations: Sequence[Calibration],
    trained_on: Collection[str],
) -> Drift | None:
    """Compare the new normal cases of an inference with those its models are calibrated on; None for too few.

    A calibrated case was scored by one model, that of its fold, and a mean over models scatters less; so a new patient
    is scored by one model, too: that of a calibrated patient, whom a hash of the name picks. Each then has the model of
    fold k with the same probability on both sides.

    Args:
        told: by case, what `CalibratedMaker.told` said of it, or None.
        items: of the datalist; those with label 0, of patients that neither models nor calibrations have seen, count.
        calibrations: of the models.
        trained_on: pseudonyms of the patients that the models were trained on.
    """
    known = {patient for own in calibrations for patient in (*own.reference.patients, *own.shaped_by)} | {*trained_on}
    models = [model for model, own in enumerate(calibrations) for _ in set(own.reference.patients)]
    scores, patients = [], []
    for item in items:
        if item.get("label") != 0 or pseudonym(item["patient_id"]) in known:
            continue
        if said := told.get(item["case_id"]):
            scores.append(said["scores_z"][models[int(pseudonym(item["patient_id"]), 16) % len(models)]])
            patients.append(item["patient_id"])
    reference = joined([own.reference for own in calibrations])
    return drift(reference.scores.tolist(), reference.patients, scores, patients)
