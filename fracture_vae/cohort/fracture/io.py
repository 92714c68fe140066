"""From a CT and its vertebra mask to the same patient with fractures: a VerSe set with the truth beside it."""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture_vae.alone import in_turn
from fracture_vae.cohort.case import Box, absolute
from fracture_vae.cohort.content import voxel_hash
from fracture_vae.cohort.fracture.choice import asked, drawn
from fracture_vae.cohort.fracture.parameters import draw_candidates
from fracture_vae.cohort.fracture.simulate import Broken, Simulation, break_vertebrae
from fracture_vae.cohort.genant import Fracture
from fracture_vae.cohort.inputs import check_same_grid, label_numbers
from fracture_vae.cohort.levels import ANATOMICAL, SACRAL, VERSE, VERSE_NUMBERS, choose
from fracture_vae.cohort.manifest import read_table
from fracture_vae.cohort.origin import CT, KEY, RECORD, original
from fracture_vae.cohort.volumes import Stored, Volume, read_volume, stem, to_stored, write_map
from fracture_vae.errors import InputError
from fracture_vae.files import require_folder, sha256, write_csv

NOTE = "simulated fracture, not a patient's"
TABLE = "labels.csv"
_COLUMNS = ("patient_id", "level", "label", "genant_grade", "genant_type")


def fracture_ct(
    ct_path: str | os.PathLike[str],
    mask_path: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    labels: str = "verse",
    fractures: Sequence[str] = (),
    share: float | None = None,
    sclerosis: bool = False,
    cortical_break: bool = False,
    seed: int = 0,
    patient_id: str | None = None,
) -> dict[str, Broken]:
    """Break vertebrae of a CT and write the result as a VerSe set, whole or not at all.

    Into ``out_dir``: ``sub-X_ct.nii.gz`` (int16, HU), ``sub-X_seg-vert_msk.nii.gz`` (VerSe numbers),
    ``sub-X_seg-fracture_msk.nii.gz`` (truth, 0 and 1), ``sub-X_displacement.nii.gz`` (mm), ``sub-X_fractures.json``
    (what was drawn and measured), all on the CT's own grid; and a row a level in ``labels.csv``.

    Args:
        ct_path: the CT, HU.
        mask_path: vertebra numbers on the CT's grid.
        out_dir: a folder; may hold other patients.
        labels: ``verse``, ``totalsegmentator`` or a file, see `levels.label_map`.
        fractures: each ``LEVEL:TYPE:GRADE``.
        share: instead, the share of the whole vertebrae to break.
        sclerosis: add a sclerotic band under the broken endplates.
        cortical_break: break the upper front corner off.
        seed: everything random follows from it.
        patient_id: X; by default from the CT's name.

    Returns:
        What was made, by level from foot to head.

    Raises:
        InputError: bad input, a patient already there, a level that is not in the mask, cut off or without a body.
    """
    if bool(fractures) == (share is not None):
        raise InputError("give either fractures, as L1:wedge:2, or a share of the vertebrae to break, not both")
    if seed < 0:
        raise InputError(f"seed {seed} is negative; use 0 or more")
    ct, mask = read_volume(ct_path), read_volume(mask_path, allow_constant=True)
    check_same_grid(ct, mask)
    numbered, levels = _verse(mask, labels)
    name, out = _subject(ct_path, patient_id), absolute(out_dir)
    _check_free(out, name)
    if share is None:
        wanted = asked(fractures, numbered, levels)
    else:
        wanted = drawn(share, numbered, ct.affine, levels, np.random.default_rng(seed))
    simulation = break_vertebrae(
        ct.array,
        numbered,
        ct.affine,
        {
            levels[level]: draw_candidates(
                seed, levels[level], fracture, sclerosis=sclerosis, cortical_break=cortical_break
            )
            for level, fracture in wanted.items()
        },
        {number: level for level, number in levels.items()},
        seed,
    )
    made = {VERSE[broken.number]: broken for broken in simulation.fractures}
    record = {
        "note": NOTE,
        "source_ct": Path(ct_path).name,
        "source_ct_sha256": sha256(ct_path),
        KEY: original(ct_path) or voxel_hash(ct),
        "source_mask": Path(mask_path).name,
        "source_mask_sha256": sha256(mask_path),
        "seed": seed,
        "fractures": [_entry(level, broken, ct.stored) for level, broken in made.items()],
    }
    _write(out, name, simulation, ct.stored, record, _rows(name, levels, wanted))
    return made


def _verse(mask: Volume, labels: str) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Return the mask in VerSe's numbers, and the numbers of its vertebrae by level, from head to foot."""
    found = choose(label_numbers(mask), labels, ANATOMICAL, str(mask.stored.path))
    result = np.zeros(mask.array.shape, np.uint8)
    for level, number in found.items():
        result[mask.array == number] = VERSE_NUMBERS[level]
    return result, {level: VERSE_NUMBERS[level] for level in found if level not in SACRAL}


def _subject(ct_path: str | os.PathLike[str], patient_id: str | None) -> str:
    """Return ``sub-X`` with an X that BIDS allows: letters and digits."""
    given = patient_id or stem(ct_path).removesuffix("_ct").split("_")[0]
    name = re.sub(r"[^A-Za-z0-9]", "", given.removeprefix("sub-"))
    if not name:
        raise InputError(f"patient id '{given}' has no letter or digit; give another")
    return f"sub-{name}"


def _check_free(out: Path, name: str) -> None:
    require_folder(out)
    listed = read_table(out / TABLE, _COLUMNS) if (out / TABLE).exists() else []
    rows = [row for row, fields in listed if fields["patient_id"] == name]
    if rows:
        raise InputError(f"{out / TABLE}: row {rows[0]} already is of {name}; give another patient id or folder")
    if there := sorted(out.glob(f"{name}_*")):
        raise InputError(f"{there[0]}: already there; give another patient id or folder")


def _entry(level: str, broken: Broken, stored: Stored) -> dict[str, Any]:
    where = np.argwhere(to_stored(broken.truth, stored))
    lower, upper = where.min(axis=0).tolist(), (where.max(axis=0) + 1).tolist()
    return {
        "level": level,
        "type": broken.parameters.type,
        "grade": broken.parameters.grade,
        "heights_before_mm": _rounded(broken.before._asdict()),
        "heights_after_mm": _rounded(broken.after._asdict()),
        "height_loss": _rounded(broken.losses._asdict()),
        "box": str(Box(tuple(lower), tuple(upper))),
        "parameters": asdict(broken.parameters),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _rows(name: str, levels: Mapping[str, int], fractures: Mapping[str, Fracture]) -> list[dict[str, str]]:
    rows = []
    for level in levels:
        fracture = fractures.get(level)
        values = ("0", "0", "") if fracture is None else ("1", str(fracture.grade), fracture.type)
        rows.append(dict(zip(_COLUMNS, (name, level, *values), strict=True)))
    return rows


def _write(
    out: Path, name: str, made: Simulation, stored: Stored, record: Mapping[str, Any], rows: Sequence[Mapping[str, str]]
) -> None:
    """Write all files into a folder beside the target and move them together."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=out) as folder:
        making = Path(folder)
        ct = np.clip(np.rint(made.ct), -32768, 32767)
        write_map(making / f"{name}{CT}", ct, stored, descrip=f"HU; {NOTE}", cal_min=-200, cal_max=1000, dtype=np.int16)
        for part, array, cal_max in (("seg-vert", made.labels, 28), ("seg-fracture", made.truth, 1)):
            path = making / f"{name}_{part}_msk.nii.gz"
            write_map(path, array, stored, descrip=f"{part}; {NOTE}", cal_max=cal_max, dtype=np.uint8)
        path = making / f"{name}_displacement.nii.gz"
        write_map(path, made.displacement, stored, descrip=f"displacement, mm; {NOTE}", cal_max=15)
        (making / f"{name}{RECORD}").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        with in_turn(out):
            _check_free(out, name)  # another process may have made the same patient meanwhile
            for path in sorted(making.iterdir()):
                path.rename(out / path.name)
            _append(out / TABLE, rows)


def _append(table: Path, rows: Sequence[Mapping[str, str]]) -> None:
    before = [fields for _, fields in read_table(table, _COLUMNS)] if table.exists() else []
    columns = dict.fromkeys([*_COLUMNS, *(column for fields in before for column in fields)])
    write_csv(table, columns, [*before, *rows])
