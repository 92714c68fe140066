"""The make-up of a real study of this kind, without any image: 38 patients, 514 vertebrae, folds and a hold-out."""

import csv
from importlib.resources import files
from typing import NamedTuple


class ReferenceVertebra(NamedTuple):
    """One vertebra of the reference study; ``fold`` is 1 to 5 or ``test``."""

    patient_id: str
    fold: str
    level: str
    fractured: bool


def reference_study() -> tuple[ReferenceVertebra, ...]:
    """Return the vertebrae of the reference study, patient by patient from head to foot."""
    text = files("fracture_vae.cohort").joinpath("data/reference_cohort.csv").read_text(encoding="utf-8")
    return tuple(
        ReferenceVertebra(row["patient_id"], row["fold"], row["level"], row["fractured"] == "1")
        for row in csv.DictReader(text.splitlines())
    )
