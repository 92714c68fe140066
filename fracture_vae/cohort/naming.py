"""How a scan's crops are called, and whose they are, by the name of its file."""

import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from fracture_vae.cohort.volumes import stem


class Naming(NamedTuple):
    """Whose crops they are: what case names start with, the patient, the CT's file and what headers open with."""

    prefix: str
    patient_id: str
    source: Path
    note: str = ""

    @classmethod
    def of(cls, source: Path, patient_id: str | None = None, note: str = "") -> "Naming":
        """Take patient and prefix from the CT's file name; a patient id it lacks precedes it."""
        name = stem(source)
        if patient_id is not None and not name.startswith(patient_id):
            name = f"{patient_id}_{name}"
        return cls(file_name(name), patient_id or patient_of(source), source, note)


def file_name(text: str) -> str:
    """Return ``text`` as a name that files can have everywhere: letters of any script, digits, ``_ . + -``."""
    return re.sub(r"[^\w.+-]", "_", unicodedata.normalize("NFC", text)).lstrip(".")


def patient_of(ct: Path) -> str:
    """Return ``sub-X`` of a BIDS name, so that a patient's scans share a fold, else the file's stem."""
    match = re.match(r"sub-[A-Za-z0-9]+(?=_)", ct.name)
    return match.group() if match else stem(ct)
