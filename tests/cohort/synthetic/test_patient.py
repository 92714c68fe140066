"""Synthetic patients on disk: labelled as they were broken, and every file saying what it is."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Fracture
from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.manifest import Case, check_content, read_cohort
from fracture_vae.cohort.phantom import simulate_spine
from fracture_vae.cohort.synthetic import Plan, PlannedPatient, make_cohort
from fracture_vae.cohort.volumes import is_volume, read_volume

WEDGE, CRUSH = Fracture("wedge", 3), Fracture("crush", 1)
PLAN = Plan(
    (
        PlannedPatient("synthA", "1", 11, {"T11": None, "L1": WEDGE, "L2": CRUSH}),  # T12 is not asked for
        PlannedPatient("synthB", "test", 12, {"L3": None}),
    ),
    size=32,
    spacing=4.0,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two patients, one of whose levels is skipped."""
    return make_cohort(tmp_path_factory.mktemp("patients") / "cohort", PLAN, processes=1)


@pytest.fixture(scope="module")
def cases(made: Path) -> dict[str, Case]:
    return {case.case_id: case for case in read_cohort(made).cases}


def test_every_planned_vertebra_has_its_row_and_no_other(cases: dict[str, Case]) -> None:
    told = {
        name: (case.fold, case.label, case.genant_type, case.genant_grade, case.extra["cut_off"])
        for name, case in cases.items()
    }
    assert told == {
        "synthA_T11": ("1", 0, "", 0, "0"),
        "synthA_L1": ("1", 1, "wedge", 3, "0"),
        "synthA_L2": ("1", 1, "crush", 1, "0"),
        "synthB_L3": ("test", 0, "", 0, "0"),
    }
    assert [case.patient_id for case in cases.values()] == ["synthA"] * 3 + ["synthB"]


def test_crops_are_of_the_planned_grid_and_come_from_the_sources(made: Path, cases: dict[str, Case]) -> None:
    check_content(read_cohort(made))
    for case in cases.values():
        volume = read_volume(case.image)
        assert volume.array.shape == (32, 32, 32)
        np.testing.assert_allclose(np.linalg.norm(volume.affine[:3, :3], axis=0), 4.0, rtol=1e-6)
        assert 0 <= volume.array.min() < volume.array.max() <= 1
        assert case.source_image is not None
        assert case.source_image == made.parent / case.patient_id / "source" / f"{case.patient_id}.nii.gz"
        source = read_volume(case.source_image).array
        assert source.min() < -50, "fat, in HU"
        assert source.max() > 400, "cortical bone"
        assert json.loads(case.crop)["hu_window"] == [0.0, 1900.0]


def test_the_weak_box_holds_the_vertebra_s_own_truth_and_no_neighbour_s(cases: dict[str, Case]) -> None:
    assert cases["synthA_T11"].box is None
    assert cases["synthB_L3"].box is None
    wedge = cases["synthA_L1"]
    geometry = CropGeometry.from_json(wedge.crop)
    own = np.argwhere(read_volume(wedge.source_image.with_name("synthA_fractures_label.nii.gz")).array == 20)
    source = read_volume(wedge.source_image)
    world = nib.affines.apply_affine(source.affine, own)
    inside = np.rint(nib.affines.apply_affine(np.linalg.inv(geometry.affine), world)).astype(int)
    assert wedge.box is not None
    # nearest-voxel sampling may miss a voxel's worth at an edge, and adds none
    assert np.all(np.array(wedge.box.lower) >= inside.min(0))
    assert np.all(np.array(wedge.box.lower) <= inside.min(0) + 1)
    assert np.all(np.array(wedge.box.upper) <= inside.max(0) + 1)
    assert np.all(np.array(wedge.box.upper) >= inside.max(0))
    truth = read_volume(wedge.mask).array > 0
    assert truth[wedge.box.slices].sum() < truth.sum(), "the neighbour's is in the crop's truth, not in the box"


def test_every_volume_says_in_its_header_and_in_a_sidecar_that_it_is_no_patient(made: Path) -> None:
    volumes = [path for path in made.parent.rglob("*") if is_volume(path)]
    told: set[str] = set()
    for sidecar in made.parent.glob("synth*/**/*.json"):
        about = json.loads(sidecar.read_text(encoding="utf-8"))
        assert about["what"] == "synthetic spine, not a patient"
        assert about["patient"]["seed"] in (11, 12)
        told |= {str(sidecar.with_name(name)) for name in about["files"]}
    assert told == {str(path) for path in volumes}
    assert len(volumes) == 2 * 3 + 4 * 3
    for path in volumes:
        assert nib.load(path).header["descrip"].item().startswith(b"synthetic spine, not a patient"), path


def test_a_sidecar_tells_the_fracture_and_the_heights_before_and_after(made: Path) -> None:
    def told(level: str) -> dict:
        return json.loads((made.parent / "synthA" / f"synthA_{level}.json").read_text(encoding="utf-8"))

    for level, fracture in (("L1", WEDGE), ("L2", CRUSH)):
        about = told(level)
        assert about["fracture"] == {"type": fracture.type, "grade": fracture.grade}
        site = ("anterior", "middle", "posterior")[TYPES.index(fracture.type)]
        loss = 1 - about["heights_after_mm"][site] / about["heights_before_mm"][site]
        low, high = GRADE_LOSS[fracture.grade]
        assert low - 0.005 <= loss <= high + 0.005
    whole = told("T11")
    assert whole["fracture"] is None
    assert whole["collapse"] is None
    assert whole["heights_after_mm"] == whole["heights_before_mm"]
    source = json.loads((made.parent / "synthA" / "source" / "synthA.json").read_text(encoding="utf-8"))
    assert list(source["levels"]) == ["T11", "T12", "L1", "L2"]
    assert source["levels"]["L1"]["collapse"] == told("L1")["collapse"]


def test_the_source_is_the_phantom_of_the_plan(made: Path) -> None:
    phantom = simulate_spine(12, ["L3"])
    stored = read_volume(made.parent / "synthB" / "source" / "synthB.nii.gz")
    np.testing.assert_array_equal(stored.array, np.rint(phantom.ct))
    np.testing.assert_allclose(stored.affine, phantom.affine)
