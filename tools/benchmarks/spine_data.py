"""The spines of the detection benchmark: the synthetic reference study, and real vertebrae with simulated fractures."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fracture_vae.cohort.case import Case
from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.fracture import fracture_ct
from fracture_vae.cohort.genant import TYPES, Fracture
from fracture_vae.cohort.manifest import Cohort, read_cohort, write_cohort
from fracture_vae.cohort.synthetic import make_cohort, plan_reference
from fracture_vae.errors import InputError

SIZE, SPACING = 64, 2.0
"""Voxels and mm: as much of a spine as 128³ at 1 mm, at an eighth of the cost."""
GRADES = (1, 2, 3)


class Scan(NamedTuple):
    """A CT of whole vertebrae with its mask, below the data folder."""

    ct: str
    mask: str
    labels: str
    levels: tuple[str, ...]


SCANS: Mapping[str, Scan] = {
    "verse014": Scan(
        "ct_verse014/sub-verse014_ct.nii.gz",
        "ct_verse014/sub-verse014_seg-vert_msk.nii.gz",
        "verse",
        ("L1", "L2", "L3", "L4", "L5"),
    ),
    "totalsegmentator": Scan(
        "ct_totalsegmentator/example_ct.nii.gz",
        "ct_totalsegmentator/spine_totalseg.nii.gz",
        "totalsegmentator",
        ("L1", "L2", "L3", "L4", "L5"),
    ),
    "tptbox": Scan("tptbox/sub-ct_label-22_ct.nii.gz", "tptbox/sub-ct_seg-vert_label-22_msk.nii.gz", "verse", ("L3",)),
}
"""tptbox's crop is in the wheel tptbox==1.1.0, TPTBox/tests/sample_ct; without it the other two are taken."""


def synthetic_study(folder: Path, seed: int = 0) -> Cohort:
    """Return the reference study at `SIZE` and `SPACING`, made in ``folder`` unless it is there."""
    if not (folder / "cohort.csv").exists():
        make_cohort(folder, plan_reference(SIZE, SPACING, seed))
    return read_cohort(folder / "cohort.csv")


def other_patients(study: Cohort) -> Cohort:
    """Return ``study`` with patients whose names no other study's have, as a table beside its own."""
    table = study.path.with_name("cohort_other_patients.csv")
    write_cohort(table, [replace(case, patient_id=f"other_{case.patient_id}") for case in study.cases])
    return read_cohort(table)


def real_study(data: Path, folder: Path, seed: int = 0) -> Cohort:
    """Return crops of real vertebrae, whole and broken in every type and grade, one at a time, made unless there.

    Raises:
        InputError: none of `SCANS` is below ``data``.
    """
    table = folder / "cohort.csv"
    if table.exists():
        return read_cohort(table)
    found = {name: scan for name, scan in SCANS.items() if (data / scan.ct).exists()}
    if not found:
        raise InputError(f"{data}: holds none of {', '.join(scan.ct for scan in SCANS.values())}")
    cases = [case for name, scan in found.items() for case in _crops(name, scan, data, folder, seed)]
    write_cohort(table, cases)
    return read_cohort(table)


def _crops(name: str, scan: Scan, data: Path, folder: Path, seed: int) -> Iterator[Case]:
    whole = _cut(data / scan.ct, data / scan.mask, folder / name, scan.labels, scan.levels, name)
    yield from (replace(case, label=0, genant_grade=0) for case in whole)
    for level in scan.levels:
        for fracture in (Fracture(kind, grade) for kind in TYPES for grade in GRADES):
            unique = f"{name}_{level}_{fracture.type}_{fracture.grade}"
            case = _broken(scan, data, folder / unique, f"{level}:{fracture.type}:{fracture.grade}", name, seed)
            case = replace(case, case_id=unique, label=1, source_image=None)
            yield replace(case, genant_grade=fracture.grade, genant_type=fracture.type)


def _broken(scan: Scan, data: Path, folder: Path, fracture: str, patient: str, seed: int) -> Case:
    """Return the crop of one vertebra broken as ``fracture`` says, made in ``folder`` unless it is there."""
    if (folder / "cohort.csv").exists():
        return read_cohort(folder / "cohort.csv").cases[0]
    with tempfile.TemporaryDirectory() as made:
        fracture_ct(
            data / scan.ct, data / scan.mask, made, labels=scan.labels, fractures=[fracture], seed=seed,
            patient_id=patient,
        )  # fmt: skip
        stem = Path(made) / f"sub-{patient}"
        truth = stem.with_name(f"{stem.name}_seg-fracture_msk.nii.gz")
        ct, mask = (stem.with_name(f"{stem.name}_{what}.nii.gz") for what in ("ct", "seg-vert_msk"))
        (case,) = _cut(ct, mask, folder, "verse", (fracture.partition(":")[0],), patient, truth)
    return case


def _cut(
    ct: Path, mask: Path, folder: Path, labels: str, levels: Sequence[str], patient: str, truth: Path | None = None
) -> Sequence[Case]:
    if (folder / "cohort.csv").exists():
        return [case for case in read_cohort(folder / "cohort.csv").cases if case.level in levels]
    return crop_vertebrae(
        ct, mask, folder, labels=labels, levels=levels, size=(SIZE,) * 3, spacing=SPACING, patient_id=patient,
        truth_path=truth,
    )  # fmt: skip
