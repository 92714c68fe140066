"""Cohorts of synthetic spines: CTs, masks and truth on disk, cropped as a real study would be.

The small one that bundles fall back on is made once and kept in a cache folder.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.genant import Fracture
from fracture_vae.cohort.manifest import HOLDOUT, Case, Cohort, check_content, read_cohort, write_cohort
from fracture_vae.cohort.phantom import simulate_spine
from fracture_vae.cohort.split import assign_folds
from fracture_vae.cohort.volumes import write_nifti
from fracture_vae.errors import InputError
from fracture_vae.files import require_folder

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "FRACTURE_VAE_CACHE"
_SOURCES = "sources"
_TYPES = ("wedge", "biconcave", "crush")
_GRADES = (1, 2, 3)


@dataclass(frozen=True)
class SyntheticCohort:
    """What a synthetic cohort consists of.

    Args:
        patients: in folds 1 to ``folds``.
        holdout: further patients, fold ``test``.
        levels: consecutive levels every patient has.
        fractured, fractured_holdout: share of the vertebrae broken, in the folds and in the hold-out.
        folds: number of folds.
        size: edge of a crop in voxels.
        spacing: of a crop, mm.
        seed: everything follows from it.

    Raises:
        InputError: for counts that make no cohort.
    """

    patients: int = 10
    holdout: int = 2
    levels: tuple[str, ...] = ("T12", "L1", "L2")
    fractured: float = 1 / 3
    fractured_holdout: float = 0.5
    folds: int = 5
    size: int = 128
    spacing: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.folds <= self.patients:
            raise InputError(f"{self.patients} patients cannot fill {self.folds} folds; need 2 ≤ folds ≤ patients")
        if self.holdout < 0 or not self.levels:
            raise InputError("a synthetic cohort needs at least one level and no negative hold-out")
        if not 1 <= self.size <= 1024 or not 0.05 <= self.spacing <= 50:
            raise InputError(f"size {self.size} and spacing {self.spacing} mm: no such crop; try 128 at 1 mm")
        for name in ("fractured", "fractured_holdout"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; a share lies in [0, 1]")


PHANTOM_VERSION = 1
"""Raised when the same seed gives another spine, so that caches are made anew."""
SMALL = SyntheticCohort()
"""What bundles train on when no cohort is given."""


def open_cohort(path: str | os.PathLike[str] | None) -> Cohort:
    """Return the cohort at ``path``, or the small synthetic one, made on first use in the cache folder.

    Raises:
        InputError: when the cohort is not sound, or holds one image under two names.
    """
    if path is not None:
        cohort = read_cohort(path)
        check_content(cohort)
        return cohort
    kind = hashlib.sha256(f"{SMALL} {PHANTOM_VERSION}".encode()).hexdigest()[:8]
    folder = cache_folder() / f"synthetic-{kind}"
    if not (folder / "cohort.csv").is_file():
        logger.info("no cohort given: making a small synthetic one, once, in %s", folder)
        make_cohort(folder, SMALL)
    else:
        logger.info("no cohort given: taking the synthetic one in %s", folder)
    return read_cohort(folder / "cohort.csv")


def cache_folder() -> Path:
    """Return ``$FRACTURE_VAE_CACHE``, else ``fracture_vae`` in the user's cache folder."""
    if CACHE_VARIABLE in os.environ:
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fracture_vae"


def make_cohort(folder: str | os.PathLike[str], plan: SyntheticCohort, processes: int = 2) -> Path:
    """Make the cohort in ``folder``, which appears whole or not at all, and return its cohort.csv.

    ``sources/`` holds each patient's CT (HU), vertebra mask (VerSe labels) and fracture truth; the crops of every
    vertebra lie beside cohort.csv.

    Raises:
        InputError: when ``folder`` exists and is not empty, or is a file; when too few patients would have a normal
            vertebra to fill the folds.
    """
    target = Path(folder).absolute()
    require_folder(target)
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target}: not empty; give a new folder, or remove this one")
    with_normal = sum(len(planned_fractures(plan, index)) < len(plan.levels) for index in range(plan.patients))
    if with_normal < plan.folds:
        raise InputError(
            f"{with_normal} of {plan.patients} patients would have an unbroken vertebra, fewer than {plan.folds} folds;"
            " ask for more patients, more levels or fewer folds"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        count = plan.patients + plan.holdout
        pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
        try:
            futures = [pool.submit(_make_patient, making, plan, index) for index in range(count)]
            made = [future.result() for future in tqdm(futures, "synthetic spines", unit="patient")]
        finally:
            pool.shutdown(cancel_futures=True)
        cases = [case for own in made for case in own]
        in_folds = [replace(c, fold=HOLDOUT) if _number(c) >= plan.patients else c for c in cases]
        write_cohort(making / "cohort.csv", assign_folds(in_folds, plan.folds, plan.seed))
        making.chmod(0o755)
        _settle(making, target)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return target / "cohort.csv"


def _settle(making: Path, target: Path) -> None:
    """Give the finished folder its name; where another process was faster, its cohort stays."""
    with suppress(OSError):
        target.rmdir()
    try:
        making.rename(target)
    except OSError:
        if not (target / "cohort.csv").is_file():
            raise
        shutil.rmtree(making)


def planned_fractures(plan: SyntheticCohort, index: int) -> Mapping[str, Fracture]:
    """Return which levels of patient ``index`` are broken, and how; follows from the plan's seed."""
    rng = np.random.default_rng([plan.seed, index])
    share = plan.fractured if index < plan.patients else plan.fractured_holdout
    exact = share * len(plan.levels)
    count = int(exact) + int(rng.random() < exact % 1)
    broken = rng.choice(len(plan.levels), size=count, replace=False)
    return {
        plan.levels[level]: Fracture(_TYPES[rng.integers(len(_TYPES))], _GRADES[rng.integers(len(_GRADES))])
        for level in sorted(broken)
    }


def _make_patient(folder: Path, plan: SyntheticCohort, index: int) -> Sequence[Case]:
    name = f"synth{index:03d}"
    fractures = planned_fractures(plan, index)
    phantom = simulate_spine(plan.seed * 100_003 + index, plan.levels, fractures)
    sources = folder / _SOURCES
    ct, vertebrae, truth = (sources / f"{name}{part}.nii.gz" for part in ("", "_vertebrae_label", "_fractures_label"))
    note = "synthetic spine, not a patient"
    write_nifti(ct, phantom.ct, phantom.affine, descrip=note, cal_min=-200, cal_max=1000, dtype=np.int16, slope=1.0)
    write_nifti(vertebrae, phantom.mask, phantom.affine, descrip=note, cal_max=28, dtype=np.uint8)
    write_nifti(truth, phantom.truth, phantom.affine, descrip=note, cal_max=1, dtype=np.uint8)
    own = folder / name
    cases = crop_vertebrae(
        ct,
        vertebrae,
        own,
        size=(plan.size, plan.size, plan.size),
        spacing=plan.spacing,
        patient_id=name,
        truth_path=truth,
        note=note,
    )
    (own / "cohort.csv").unlink()
    return [_known(case, fractures.get(case.level)) for case in cases]


def _known(case: Case, fracture: Fracture | None) -> Case:
    if fracture is None:
        return replace(case, label=0, genant_grade=0, genant_type="")
    return replace(case, label=1, genant_grade=fracture.grade, genant_type=fracture.type)


def _number(case: Case) -> int:
    return int(case.patient_id.removeprefix("synth"))
