"""A study of twelve patients with maps made by hand."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.manifest import Case, Cohort, read_cohort, write_cohort
from fracture_vae.evaluation.evaluate import Evaluation, evaluate
from fracture_vae.files import write_csv
from fracture_vae.maps.table import SCORE_COLUMNS

SHAPE = (12, 12, 12)
AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.fixture(scope="session")
def made_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of p00 to p11, L1 and L2 each; folds 1, 2, test; L2 of every other patient broken, L1 of p01 too."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    cases = []
    for patient in range(12):
        for level in ("L1", "L2"):
            name = f"p{patient:02}_{level}"
            broken = int((level == "L2" and patient % 2 == 1) or name == "p01_L1")
            nib.save(nib.Nifti1Image(rng.random(SHAPE, np.float32), AFFINE), folder / f"{name}.nii.gz")
            if broken:
                nib.save(nib.Nifti1Image(truth(patient), AFFINE), folder / f"{name}_mask.nii.gz")
            cases.append(
                Case(
                    case_id=name, patient_id=name[:3], level=level, label=broken,
                    fold="test" if patient > 9 else str(1 + patient % 4 // 2), image=folder / f"{name}.nii.gz",
                    mask=folder / f"{name}_mask.nii.gz" if broken else None,
                    genant_grade=(1 + patient // 6) * broken, genant_type="wedge" if broken else "",
                )
            )  # fmt: skip
    write_cohort(folder / "cohort.csv", cases)
    return folder / "cohort.csv"


def truth(patient: int) -> np.ndarray:
    """Two regions, of 27 and 8 voxels."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:4, 1:4, 1:4] = mask[7:9, 7:9, patient % 4 : patient % 4 + 2] = 1
    return mask


@pytest.fixture(scope="session")
def made_maps(made_study: Path) -> Callable[..., Path]:
    """``made_maps(folder, strength, seed, kept)``: maps of noise, and ``strength`` where something is broken."""

    def make(
        folder: Path,
        strength: float = 0.3,
        seed: int = 1,
        kept: Callable[[Case], bool] = lambda case: case.fold != "test",
    ) -> Path:
        rng = np.random.default_rng(seed)
        rows = []
        for case in read_cohort(made_study).cases:
            values = rng.random(SHAPE, np.float32) * 0.5
            if case.mask:
                values += np.float32(strength) * (np.asarray(nib.load(case.mask).dataobj) > 0)
            if kept(case):
                folder.mkdir(parents=True, exist_ok=True)
                nib.save(nib.Nifti1Image(values, AFFINE), folder / f"{case.case_id}_error.nii.gz")
                rows.append(row(case, float(np.sort(values.ravel())[-9:].mean())))
        write_csv(folder / "scores.csv", SCORE_COLUMNS, rows)
        return folder

    return make


def row(case: Case, score: float) -> dict[str, object]:
    """A row of scores.csv."""
    fields = {name: getattr(case, name) for name in ("case_id", "patient_id", "level", "label", "fold", "image")}
    return {**fields, "score": f"{score:.6g}", "error_map": f"{case.case_id}_error.nii.gz", "model": "0123456789ab"}


@pytest.fixture
def made_cohort(made_study: Path) -> Cohort:
    """The study, read."""
    return read_cohort(made_study)


@pytest.fixture(scope="session")
def maps(made_maps: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of the folds' cases, not of the hold-out's; not to be changed."""
    return made_maps(tmp_path_factory.mktemp("maps") / "maps")


@pytest.fixture(scope="session")
def found(maps: Path, made_study: Path) -> Evaluation:
    """What `maps` are worth."""
    return evaluate(maps, made_study, resamples=200)


@pytest.fixture(scope="session")
def voxels(maps: Path, made_study: Path) -> tuple[np.ndarray, np.ndarray]:
    """Truth and value of all voxels of `maps`."""
    cases = [case for case in read_cohort(made_study).cases if case.fold != "test"]
    values = [np.asarray(nib.load(maps / f"{case.case_id}_error.nii.gz").dataobj).ravel() for case in cases]
    truths = [np.asarray(nib.load(case.mask).dataobj).ravel() if case.mask else np.zeros(12**3) for case in cases]
    return np.concatenate(truths) > 0, np.concatenate(values)
