"""One synthetic patient on disk: the CT and its masks, a crop a vertebra, and what every file is, in words.

<name>/source/<name>.nii.gz …       CT (HU), vertebrae (VerSe numbers), fractures (the broken level's number)
<name>/<name>_<level>.nii.gz …      crop, the vertebra's own mask, the truth of all fractures in the crop
<name>/source/<name>.json, <name>/<name>_<level>.json
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from fracture_vae.cohort.boxes import SLICES, box_of, slices_of
from fracture_vae.cohort.case import Case
from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.genant import Fracture
from fracture_vae.cohort.geometry import CropGeometry, resample_mask
from fracture_vae.cohort.phantom import ASKABLE, Phantom, label_of, simulate_spine
from fracture_vae.cohort.synthetic.plan import PHANTOM_VERSION, PlannedPatient
from fracture_vae.cohort.volumes import stem, write_nifti
from fracture_vae.files import write_text

NOTE = "synthetic spine, not a patient"
"""Opens the ``descrip`` of every header and every sidecar."""


def make_patient(folder: Path, patient: PlannedPatient, size: int, spacing: float) -> list[Case]:
    """Simulate a patient and write all files into ``folder``; return the cases, from head to foot."""
    between = slice(*(ASKABLE.index(level) + end for level, end in zip(_ends(patient), (0, 1), strict=True)))
    phantom = simulate_spine(patient.seed, ASKABLE[between], patient.fractures)
    ct, vertebrae, fractures = _write_source(folder / "source", patient, phantom)
    cases = crop_vertebrae(
        ct,
        vertebrae,
        folder,
        levels=list(patient.vertebrae),
        size=(size, size, size),
        spacing=spacing,
        patient_id=patient.name,
        truth_path=fractures,
        note=NOTE,
    )
    (folder / "cohort.csv").unlink()
    known = [_known(case, patient, phantom) for case in cases]
    for case in known:
        _write_case_sidecar(case, patient, phantom)
    return known


def _ends(patient: PlannedPatient) -> tuple[str, str]:
    levels = sorted(patient.vertebrae, key=ASKABLE.index)
    return levels[0], levels[-1]


def _write_source(folder: Path, patient: PlannedPatient, phantom: Phantom) -> tuple[Path, Path, Path]:
    name = patient.name
    ct, vertebrae, truth = (folder / f"{name}{part}.nii.gz" for part in ("", "_vertebrae_label", "_fractures_label"))
    affine = phantom.affine
    write_nifti(
        ct, phantom.ct, affine, descrip=f"{NOTE}; CT, HU", cal_min=-200, cal_max=1000, dtype=np.int16, slope=1.0
    )
    write_nifti(vertebrae, phantom.mask, affine, descrip=f"{NOTE}; VerSe labels", cal_max=28, dtype=np.uint8)
    write_nifti(truth, phantom.truth, affine, descrip=f"{NOTE}; fractures, truth", cal_max=28, dtype=np.uint8)
    files = {
        ct.name: "CT in HU",
        vertebrae.name: "vertebrae, VerSe labels; only those asked for",
        truth.name: "where a fracture changed a body, the VerSe label of the broken level",
    }
    levels = {level: _vertebra(level, patient.vertebrae.get(level), phantom) for level in phantom.heights}
    _write_sidecar(folder / f"{name}.json", patient, phantom, {"files": files, "levels": levels})
    return ct, vertebrae, truth


def _write_case_sidecar(case: Case, patient: PlannedPatient, phantom: Phantom) -> None:
    files = {case.image.name: "crop of the CT, [0, 1]"}
    if case.vertebra_mask is not None:
        files[case.vertebra_mask.name] = "the vertebra's own mask"
    if case.mask is not None:
        files[case.mask.name] = "where a fracture changed a body, neighbours' too"
    vertebra = _vertebra(case.level, patient.vertebrae[case.level], phantom)
    content = {"case_id": case.case_id, "level": case.level, "files": files, **vertebra}
    _write_sidecar(case.image.with_name(f"{stem(case.image)}.json"), patient, phantom, content)


def _write_sidecar(path: Path, patient: PlannedPatient, phantom: Phantom, content: Mapping[str, Any]) -> None:
    about = {
        "what": NOTE,
        "phantom_version": PHANTOM_VERSION,
        "patient_id": patient.name,
        **content,
        "patient": asdict(phantom.patient),
    }
    write_text(path, json.dumps(about, indent=1, default=float) + "\n")


def _vertebra(level: str, fracture: Fracture | None, phantom: Phantom) -> dict[str, Any]:
    """Return what is known of a vertebra; heights in mm, endplate to endplate in the mid-sagittal plane."""
    collapse = phantom.collapses.get(level)
    return {
        "fracture": None if fracture is None else asdict(fracture),
        "collapse": None if collapse is None else asdict(collapse),
        "heights_before_mm": _rounded(phantom.healthy_heights[level]),
        "heights_after_mm": _rounded(phantom.heights[level]),
    }


def _rounded(heights: Any) -> dict[str, float]:
    return {name: round(value, 2) for name, value in heights._asdict().items()}


def _known(case: Case, patient: PlannedPatient, phantom: Phantom) -> Case:
    """Fill in what the plan knows of a case: fold, label, fracture and weak box."""
    fracture = patient.vertebrae[case.level]
    if fracture is None:
        whole = {name: value for name, value in case.extra.items() if name != SLICES}
        return replace(case, fold=patient.fold, label=0, genant_grade=0, genant_type="", box=None, extra=whole)
    geometry = CropGeometry.from_json(case.crop)
    own = phantom.truth == label_of(case.level)
    box = box_of(resample_mask(own, phantom.affine, np.asarray(geometry.affine), geometry.shape))
    return replace(
        case,
        fold=patient.fold,
        label=1,
        genant_grade=fracture.grade,
        genant_type=fracture.type,
        box=box,
        extra={**case.extra, SLICES: slices_of(box) if box else ""},
    )
