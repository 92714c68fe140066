"""A scan cropped again: which rows of the table are its own, and what people filled in there."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fracture_vae.cohort.boxes import SLICES
from fracture_vae.cohort.case import Case
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.errors import InputError


def existing_rows(table: Path, source: Path) -> tuple[list[Case], dict[str, Case]]:
    """Return the rows of other scans, and this scan's by case_id; none where there is no table yet."""
    if not table.exists():
        return [], {}
    kept, replaced = [], {}
    for case in read_cohort(table).cases:
        if case.source_image is not None and os.path.realpath(case.source_image) == os.path.realpath(source):
            replaced[case.case_id] = case
        else:
            kept.append(case)
    return kept, replaced


def check_names(table: Path, names: Sequence[str], kept: Sequence[Case]) -> None:
    """Refuse case names that rows of other scans use already.

    Raises:
        InputError: as said, naming the row.
    """
    for case in kept:
        if case.case_id in names:
            raise InputError(
                f"{table}: row {case.row} is a case '{case.case_id}' of another scan; give this scan a patient id "
                "or a file name of its own"
            )


def carried_over(case: Case, old: Case | None, patient_id: str | None) -> Case:
    """Return ``case`` with what people filled in in its earlier row; boxes and masks only while the crop is the same.

    What the scan's truth says now comes before what the row said.
    """
    if old is None:
        return case
    same = old.crop == case.crop
    told = case.label is not None  # by truth
    filled = {name: value for name, value in old.extra.items() if name != SLICES or (same and not told)}
    return replace(
        case,
        patient_id=patient_id or old.patient_id,
        label=case.label if told else old.label,
        fold=old.fold,
        box=case.box if told else old.box if same else None,
        mask=case.mask or (old.mask if same else None),
        genant_grade=old.genant_grade,
        genant_type=old.genant_type,
        extra={**filled, **case.extra},
    )
