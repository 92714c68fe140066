"""Making a study: patients in parallel, each moved into place whole, so that a killed job goes on where it was."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fracture_vae.cohort.manifest import Case, read_cohort, write_cohort
from fracture_vae.cohort.synthetic.patient import NOTE, make_patient
from fracture_vae.cohort.synthetic.plan import PHANTOM_VERSION, Plan, PlannedPatient
from fracture_vae.errors import InputError
from fracture_vae.files import require_folder, write_text

logger = logging.getLogger(__name__)

STUDY = "study.json"
"""Beside cohort.csv: that the study is synthetic, and the plan it follows."""
_ROWS = "rows.csv"  # a made patient's rows, until the study's table is written
_ASIDE = ".patient-"  # where a patient is made before it is moved in


def make_cohort(folder: str | os.PathLike[str], plan: Plan, processes: int | None = None) -> Path:
    """Make the study in ``folder``, which appears whole or not at all, and return its cohort.csv.

    Patients are gathered in a hidden folder beside it whose name holds the plan's digest. A job that is stopped
    leaves it, and the same call goes on with it. Two jobs at the same study help each other.

    Args:
        folder: new or empty.
        plan: from `plan_cohort` or `plan_reference`.
        processes: how many patients are made at a time, each with about 0.5 GB; by default one a core, at
            most 8.

    Raises:
        InputError: when ``folder`` exists and is not empty, or is a file.
    """
    target = Path(folder).absolute()
    require_folder(target)
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target}: not empty; give a new folder, or remove this one")
    making = target.parent / f".{target.name}.making-{plan.digest()}"
    making.mkdir(parents=True, exist_ok=True)
    waiting = [patient for patient in plan.patients if not (making / patient.name).is_dir()]
    if len(waiting) < len(plan.patients):
        logger.info("going on with %s: %d of %d patients are made", making, *_made(plan, waiting))
    try:
        _make(making, plan, waiting, processes or min(8, os.cpu_count() or 1))
        _finish(making, target, plan)
    except BaseException as error:
        if isinstance(error, Exception) and (target / "cohort.csv").is_file():  # another job was faster
            shutil.rmtree(making, ignore_errors=True)
            return target / "cohort.csv"
        waiting = [patient for patient in plan.patients if not (making / patient.name).is_dir()]
        if len(waiting) == len(plan.patients):
            shutil.rmtree(making, ignore_errors=True)
        else:
            logger.warning("stopped: %s keeps %d of %d patients; the same call goes on", making, *_made(plan, waiting))
        raise
    return target / "cohort.csv"


def _made(plan: Plan, waiting: list[PlannedPatient]) -> tuple[int, int]:
    return len(plan.patients) - len(waiting), len(plan.patients)


def _make(making: Path, plan: Plan, waiting: list[PlannedPatient], processes: int) -> None:
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        futures = [pool.submit(_make_patient, making, patient, plan.size, plan.spacing) for patient in waiting]
        done = len(plan.patients) - len(waiting)
        for future in tqdm(as_completed(futures), "synthetic spines", len(plan.patients), initial=done, unit="patient"):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _make_patient(making: Path, patient: PlannedPatient, size: int, spacing: float) -> None:
    """Make a patient aside and move the whole folder in; what another job has moved there meanwhile stays."""
    with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=making, ignore_cleanup_errors=True) as aside:
        own = Path(aside) / patient.name
        write_cohort(own / _ROWS, make_patient(own, patient, size, spacing))
        try:
            own.rename(making / patient.name)
        except OSError:
            if not (making / patient.name).is_dir():
                raise


def _finish(making: Path, target: Path, plan: Plan) -> None:
    """Write the study's table and plan, and give the folder its name."""
    rows: list[Case] = []
    for patient in plan.patients:
        rows += read_cohort(making / patient.name / _ROWS).cases
    write_cohort(making / "cohort.csv", rows)
    write_text(making / STUDY, json.dumps(_about(plan), indent=1) + "\n")
    for patient in plan.patients:
        (making / patient.name / _ROWS).unlink()
    for left in making.glob(f"{_ASIDE}*"):
        shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):
        target.rmdir()
    making.rename(target)


def _about(plan: Plan) -> Mapping[str, Any]:
    patients = {
        patient.name: {
            "fold": patient.fold,
            "seed": patient.seed,
            "vertebrae": {level: broken and asdict(broken) for level, broken in patient.vertebrae.items()},
        }
        for patient in plan.patients
    }
    grid = {"size": plan.size, "spacing": plan.spacing, "seed": plan.seed}
    return {"what": NOTE, "phantom_version": PHANTOM_VERSION, **grid, "patients": patients}
