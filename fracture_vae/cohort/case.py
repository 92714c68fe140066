"""One case of a study, and its row of text in ``cohort.csv``.

Columns (paths are relative to the file; other columns are kept as they are):

| column | meaning |
| --- | --- |
| ``case_id`` | unique name, used for file names |
| ``patient_id`` | a patient's cases share a fold |
| ``level`` | vertebral level, or empty |
| ``label`` | 0 normal, 1 abnormal, empty unknown |
| ``fold`` | 1..k, ``test`` (hold-out), or empty (not in use) |
| ``image`` | the volume |
| ``mask`` | voxel truth of the anomaly, optional |
| ``box`` | weak box ``i0:i1,j0:j1,k0:k1`` in voxels of the stored image, upper ends excluded, optional |
| ``genant_grade``, ``genant_type`` | 0..3 and its kind (``wedge``, …), optional |
| ``source_image`` | the scan the image was cropped from, optional; need not exist |
| ``crop`` | JSON: how to get back to the source's grid, optional |
| ``vertebra_mask`` | the vertebra's own mask in the image's grid, optional; written only where there is one |
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fracture_vae.errors import InputError

HOLDOUT = "test"
COLUMNS = (
    "case_id", "patient_id", "level", "label", "fold", "image", "mask", "box",
    "genant_grade", "genant_type", "source_image", "crop",
)  # fmt: skip
REQUIRED = ("case_id", "patient_id", "label", "fold", "image")
VERTEBRA_MASK = "vertebra_mask"


class Box(NamedTuple):
    """A box of voxels, from ``lower`` up to but without ``upper``, along the axes of the stored image."""

    lower: tuple[int, int, int]
    upper: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index into the stored array."""
        return tuple(slice(a, b) for a, b in zip(self.lower, self.upper, strict=True))

    def __str__(self) -> str:
        return ",".join(f"{a}:{b}" for a, b in zip(self.lower, self.upper, strict=True))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a cohort; the module's table says what the columns mean. Paths are absolute."""

    case_id: str
    patient_id: str
    image: Path
    level: str = ""
    label: int | None = None
    fold: str = ""
    mask: Path | None = None
    box: Box | None = None
    genant_grade: int | None = None
    genant_type: str = ""
    source_image: Path | None = None
    crop: str = ""
    vertebra_mask: Path | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)
    row: int = field(default=0, compare=False)


def parse_case(fields: Mapping[str, str], folder: Path, where: str, row: int) -> Case:
    """Turn one row's fields into a `Case`; ``where`` (file and row) opens every complaint.

    Raises:
        InputError: an empty or unusable name, a value out of its range, a missing image or mask file.
    """
    known = {name: fields.get(name, "").strip() for name in (*COLUMNS, VERTEBRA_MASK)}
    for name in ("case_id", "patient_id", "image"):
        if not known[name]:
            raise InputError(f"{where}: '{name}' is empty; fill it")
    unusable = re.search(r'[/\\:*?"<>|\x00-\x1f]', known["case_id"]) or known["case_id"].startswith(".")
    if unusable or len(known["case_id"].encode()) > 200:
        raise InputError(f"{where}: case_id '{known['case_id']}' cannot be a file name; use letters, digits, - and _")
    fold = known["fold"]
    number = None if fold == HOLDOUT else integer(fold, range(1, 1000), where, "fold", "1..k, 'test' or empty")
    return Case(
        case_id=known["case_id"],
        patient_id=known["patient_id"],
        level=known["level"],
        label=integer(known["label"], range(2), where, "label", "0 (normal), 1 (abnormal) or empty (unknown)"),
        fold=fold if number is None else str(number),
        image=_file(known["image"], folder, where, "image"),
        mask=_file(known["mask"], folder, where, "mask") if known["mask"] else None,
        box=_box(known["box"], where) if known["box"] else None,
        genant_grade=integer(known["genant_grade"], range(4), where, "genant_grade", "0 to 3 or empty"),
        genant_type=known["genant_type"],
        source_image=absolute(folder / known["source_image"]) if known["source_image"] else None,
        crop=known["crop"],
        vertebra_mask=_file(known[VERTEBRA_MASK], folder, where, VERTEBRA_MASK) if known[VERTEBRA_MASK] else None,
        extra={name: value for name, value in fields.items() if name not in known},
        row=row,
    )


def case_fields(case: Case, folder: Path) -> dict[str, str]:
    """Return a case as text by column, its paths relative to ``folder``; the inverse of `parse_case`."""
    fields = {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "level": case.level,
        "label": _text(case.label),
        "fold": case.fold,
        "image": _relative(case.image, folder),
        "mask": _relative(case.mask, folder),
        "box": _text(case.box),
        "genant_grade": _text(case.genant_grade),
        "genant_type": case.genant_type,
        "source_image": _relative(case.source_image, folder),
        "crop": case.crop,
    }
    own_mask = {VERTEBRA_MASK: _relative(case.vertebra_mask, folder)} if case.vertebra_mask else {}
    return fields | own_mask | dict(case.extra)


def pseudonym(patient_id: str) -> str:
    """Return what stands for a patient in a checkpoint or a lock: the first 16 digits of the id's SHA-256."""
    return hashlib.sha256(patient_id.encode()).hexdigest()[:16]


def rows_of(cases: Sequence[Case]) -> str:
    """Return the rows of cases in words, as ``rows 2, 3``; five of them at most."""
    listed = [str(case.row) for case in cases]
    shown = ", ".join(listed[:5]) + (" …" if len(listed) > 5 else "")
    return f"row{'s' if len(listed) != 1 else ''} {shown}" if listed else "no rows"


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return the path made absolute and free of ``..``, links left as they are (``resolve`` would follow them)."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def integer(text: str, allowed: range, where: str, column: str, meaning: str) -> int | None:
    """Parse an integer, None where empty; ``1.0``, which tables with gaps turn integers into, counts as 1.

    Raises:
        InputError: another text, or a number that is not ``allowed``, with ``where`` and ``meaning``.
    """
    if not text:
        return None
    if re.fullmatch(r"\d{1,4}(\.0+)?", text, re.ASCII) and int(float(text)) in allowed:
        return int(float(text))
    raise InputError(f"{where}: {column} is '{text}'; it must be {meaning}")


def _box(text: str, where: str) -> Box:
    match = re.fullmatch(r"(\d+):(\d+),(\d+):(\d+),(\d+):(\d+)", text.replace(" ", ""), re.ASCII)
    if match:
        i0, i1, j0, j1, k0, k1 = map(int, match.groups())
        if i0 < i1 and j0 < j1 and k0 < k1:
            return Box((i0, j0, k0), (i1, j1, k1))
    raise InputError(f"{where}: box is '{text}'; it must be i0:i1,j0:j1,k0:k1 with each end above its start")


def _file(text: str, folder: Path, where: str, column: str) -> Path:
    path = absolute(folder / text)
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises at a name that is too long
        raise InputError(f"{where}: {column} '{text}' does not exist; paths are relative to the table's folder")
    return path


def _relative(path: Path | None, folder: Path) -> str:
    if path is None:
        return ""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive on Windows has no relative path
        return path.as_posix()


def _text(value: int | Box | None) -> str:
    return "" if value is None else str(value)
