"""What readers said, in a table of their own, joined to the crops."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fracture_vae.cohort.boxes import SLICES
from fracture_vae.cohort.case import Case, integer
from fracture_vae.cohort.levels import ANATOMICAL
from fracture_vae.cohort.manifest import read_table
from fracture_vae.errors import InputError, nearest
from fracture_vae.preparation.finding import Finding
from fracture_vae.preparation.kinds import AGAINST_TRUTH, NO_CROP


class Reading(NamedTuple):
    """One row of a table of labels: which vertebra, and what was read; None or empty is unknown."""

    where: str
    patient_id: str
    level: str
    case_id: str
    label: int | None
    grade: int | None
    type: str


class Joined(NamedTuple):
    """Cases with what the table says, and a finding for every row without a crop or against the voxel truth."""

    cases: list[Case]
    findings: list[Finding]


def read_labels(file: Path) -> list[Reading]:
    """Read a table of labels: ``patient_id, level`` or ``case_id``, and ``genant_grade``, ``label`` or both.

    Grade 0 is label 0, higher grades are label 1. ``genant_type`` is optional, other columns are not looked at.

    Raises:
        InputError: a missing column, an unknown level, a value out of range, a grade and label that contradict each
            other, a vertebra listed twice; the message names the row.
    """
    records = read_table(file, ())
    header = records[0][1]
    if "case_id" not in header and not {"patient_id", "level"} <= set(header):
        missing = "level" if "patient_id" in header else "patient_id"
        raise InputError(f"{file}: no column '{missing}'{nearest(missing, header)}; name patient_id and level")
    if not {"label", "genant_grade"} & set(header):
        raise InputError(f"{file}: no column 'genant_grade' or 'label'{nearest('genant_grade', header)}; give one")
    readings = [_reading(fields, f"{file}: row {row}") for row, fields in records]
    first: dict[tuple[str, ...], str] = {}
    for reading in readings:
        key = (reading.case_id,) if reading.case_id else (reading.patient_id, reading.level)
        if key in first:
            rows = f"{first[key].removeprefix(f'{file}: ')} and {reading.where.removeprefix(f'{file}: ')}"
            raise InputError(f"{file}: {rows} are both about {' '.join(key)}; keep one")
        first[key] = reading.where
    return readings


def check_patients(readings: Sequence[Reading], patients: Iterable[str]) -> None:
    """Require that every row's patient is one of the study's.

    Raises:
        InputError: names the row and the nearest patient; one that differs in case or blanks only comes first.
    """
    known = sorted(set(patients))
    for reading in readings:
        if not reading.case_id and reading.patient_id not in known:
            raise InputError(
                f"{reading.where}: no scan is of patient '{reading.patient_id}'{_nearest(reading.patient_id, known)}; "
                "write patients as prepare names them"
            )


def join_labels(cases: Sequence[Case], readings: Sequence[Reading]) -> Joined:
    """Fill label, grade and type of the crops the rows are about; what a row leaves empty stays as it was.

    A row by patient and level is about that vertebra in every scan of the patient; a row with a case_id about one crop.

    Raises:
        InputError: a case_id that is no crop's.
    """
    by_vertebra = {(r.patient_id, r.level): r for r in readings if not r.case_id}
    by_case = {r.case_id: r for r in readings if r.case_id}
    names = [case.case_id for case in cases]
    for case_id, reading in by_case.items():
        if case_id not in names:
            raise InputError(f"{reading.where}: no crop is called '{case_id}'{nearest(case_id, names)}; correct it")
    joined = []
    findings = []
    for case in cases:
        found = by_case.get(case.case_id) or by_vertebra.get((case.patient_id, case.level))
        if found and case.mask is not None and None not in (case.label, found.label) and case.label != found.label:
            told = f"{found.where} says {found.label}, the voxel truth {case.label}; the table's is taken, correct one"
            findings.append(Finding(case.patient_id, case.case_id, case.level, AGAINST_TRUTH, told))
        joined.append(case if found is None else _filled(case, found))
    cropped = {(case.patient_id, case.level) for case in cases}
    findings += [
        Finding(patient_id, "", level, NO_CROP, f"{reading.where} labels it, but no scan of the patient shows it")
        for (patient_id, level), reading in by_vertebra.items()
        if (patient_id, level) not in cropped
    ]
    return Joined(joined, findings)


def _reading(fields: dict[str, str], where: str) -> Reading:
    values = {name: value.strip() for name, value in fields.items()}
    case_id, patient_id, level = (values.get(name, "") for name in ("case_id", "patient_id", "level"))
    if not case_id and not (patient_id and level):
        raise InputError(f"{where}: does not say which vertebra; fill patient_id and level, or case_id")
    if level and level not in ANATOMICAL:
        same = next((name for name in ANATOMICAL if name.lower() == level.lower()), None)
        hint = f"; did you mean '{same}'?" if same else nearest(level, ANATOMICAL)
        raise InputError(f"{where}: level '{level}' is unknown{hint}; write it as T4 or L5")
    grade = integer(values.get("genant_grade", ""), range(4), where, "genant_grade", "0 to 3 or empty")
    label = integer(values.get("label", ""), range(2), where, "label", "0 (normal), 1 (abnormal) or empty")
    if grade is not None and label is not None and label != int(grade > 0):
        raise InputError(f"{where}: label {label} contradicts genant_grade {grade}; correct one")
    if grade is not None:
        label = int(grade > 0)
    kind = values.get("genant_type", "")
    if kind and label == 0:
        raise InputError(f"{where}: genant_type '{kind}' of a normal vertebra; correct it or the grade")
    return Reading(where, patient_id, level, case_id, label, grade, kind)


def _filled(case: Case, reading: Reading) -> Case:
    if reading.label == 0:  # what is normal has no box
        extra = {name: value for name, value in case.extra.items() if name != SLICES}
        case = replace(case, box=None, extra=extra)
    return replace(
        case,
        label=case.label if reading.label is None else reading.label,
        genant_grade=case.genant_grade if reading.grade is None else reading.grade,
        genant_type=reading.type if reading.type or reading.grade == 0 else case.genant_type,
    )


def _nearest(patient: str, known: Sequence[str]) -> str:
    plain = "".join(patient.split()).casefold()
    same = next((name for name in known if "".join(name.split()).casefold() == plain), None)
    return f"; did you mean '{same}'?" if same else nearest(patient, known)
