"""A cohort's normal cases, each as it is and once more with an anomaly, as another cohort."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes

from fracture_vae.cohort.case import HOLDOUT, Case, absolute
from fracture_vae.cohort.injection.anomaly import KINDS, Anomaly, Injected, draw_anomaly, inject
from fracture_vae.cohort.manifest import read_cohort, write_cohort
from fracture_vae.cohort.volumes import SUFFIXES, Volume, read_volume, write_map
from fracture_vae.errors import InputError
from fracture_vae.files import require_folder, sha256, write_text

NOTE = "injected anomaly, not a patient's"
RECORD = "injection.json"
COLUMN = "anomaly"
_LEAST = 3
"""Voxels along an axis below which an image has no noise to measure."""


def inject_cohort(
    table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    progress: Callable[[Sequence[Case]], Iterable[Case]] = iter,
) -> Path:
    """Write the cohort to the new folder ``out``, whole or not at all, and return its ``cohort.csv``.

    Each normal case (label 0) appears twice, under its patient and in its fold: with its image's file copied byte by
    byte, and as ``<case>_<kind>``, label 1, with one anomaly, its truth in ``mask`` and its kind in the column
    ``anomaly``. The kinds are dealt evenly over each fold. Abnormal cases, unknown ones and the hold-out are left
    out. ``injection.json`` says what was drawn.

    Args:
        table: a cohort.csv.
        out: a folder that is not there yet.
        seed: everything random follows from it and the cases' names.
        progress: wraps the cases while they are made.

    Raises:
        InputError: an unsound cohort, an image that cannot be read or is too small for an anomaly, no normal case,
            two files that would have one name, ``out`` is there already, or a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed {seed} is negative; use 0 or more")
    target = absolute(out)
    require_folder(target)
    if target.exists():
        raise InputError(f"{out}: is there already; remove it or give another folder with --out")
    cohort = read_cohort(table)
    normal = [case for case in cohort.cases if case.label == 0 and case.fold != HOLDOUT]
    if not normal:
        raise InputError(f"{cohort.path}: no normal case (label 0) outside the hold-out; check the column 'label'")
    kinds = _dealt(normal, seed)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as temporary:
        making = Path(temporary) / target.name
        making.mkdir()
        cases, records = [], []
        for case in progress(normal):
            untouched = _copied(case, making)
            abnormal, record = _injected(case, untouched, kinds[case.case_id], making, seed)
            cases += [untouched, abnormal]
            records.append(record)
        about = {"note": NOTE, "cohort": cohort.path.name, "cohort_sha256": sha256(cohort.path), "seed": seed}
        write_text(making / RECORD, json.dumps({**about, "anomalies": records}, indent=2) + "\n")
        write_cohort(making / "cohort.csv", cases)
        making.rename(target)
    return target / "cohort.csv"


def _dealt(cases: Sequence[Case], seed: int) -> dict[str, str]:
    """Return each case's kind: the kinds in turn over a fold's cases, in an order that only the seed decides."""
    order = sorted(cases, key=lambda case: (case.fold, _number(case.case_id, seed)))
    turn = cycle(KINDS)
    return {case.case_id: next(turn) for case in order}


def _number(case_id: str, seed: int) -> int:
    return int(hashlib.sha256(f"{seed}:{case_id}".encode()).hexdigest()[:16], 16)


def _copied(case: Case, folder: Path) -> Case:
    """Copy a case's files to ``folder`` and return the case there."""
    paths: dict[str, Any] = {}
    for name in ("image", "vertebra_mask"):
        file = getattr(case, name)
        if file is not None:
            part = "" if name == "image" else f"_{name}"
            paths[name] = _new(folder / f"{case.case_id}{part}{_suffix(file)}", case)
            shutil.copyfile(file, paths[name])
    return replace(case, **paths, mask=None, extra={**case.extra, COLUMN: ""})


def _injected(case: Case, untouched: Case, kind: str, folder: Path, seed: int) -> tuple[Case, dict[str, Any]]:
    volume = read_volume(case.image)
    too_small = InputError(
        f"{case.image}: {'×'.join(map(str, volume.array.shape))} voxels are too small for an anomaly; leave row "
        f"{case.row} out"
    )
    if min(volume.array.shape) < _LEAST:
        raise too_small
    spacing = voxel_sizes(volume.affine)
    anomaly = draw_anomaly(np.random.default_rng(_number(case.case_id, seed)), kind, volume.array, spacing)
    made = inject(volume.array, spacing, anomaly)
    if not made.truth.any():
        raise too_small
    name, suffix = f"{case.case_id}_{kind}", _suffix(case.image)
    image, mask = (_new(folder / f"{name}{part}{suffix}", case) for part in ("", "_label"))
    _write(made, volume, image, mask, kind)
    abnormal = replace(
        untouched,
        case_id=name,
        label=1,
        image=image,
        mask=mask,
        genant_grade=None,
        genant_type="",
        extra={**case.extra, COLUMN: kind},
    )
    return abnormal, _record(name, case, made, anomaly)


def _new(path: Path, case: Case) -> Path:
    """Return a path that no other case's file has."""
    if path.exists():
        raise InputError(
            f"row {case.row}: {path.name} would be made of two cases; rename case_id '{case.case_id}' or the other"
        )
    return path


def _record(name: str, case: Case, made: Injected, anomaly: Anomaly) -> dict[str, Any]:
    return {
        "case_id": name,
        "made_from": case.case_id,
        "image_sha256": sha256(case.image),
        "truth_voxels": int(made.truth.sum()),
        **asdict(anomaly),
    }


def _write(made: Injected, volume: Volume, image: Path, mask: Path, kind: str) -> None:
    if image.name.endswith(".npy"):
        np.save(image, made.array, allow_pickle=False)
        np.save(mask, made.truth.astype(np.uint8), allow_pickle=False)
        return
    descrip, top = f"{kind}; {NOTE}", float(volume.array.max())
    write_map(image, made.array, volume.stored, descrip=descrip, cal_min=float(volume.array.min()), cal_max=top)
    write_map(mask, made.truth, volume.stored, descrip=f"truth of {descrip}", cal_max=1, dtype=np.uint8)


def _suffix(file: Path) -> str:
    return next(suffix for suffix in SUFFIXES if file.name.lower().endswith(suffix))
