"""Which cases are compared with those calibrated on, and what is said of a case."""

from typing import Any

import numpy as np
import pytest
import torch

from fracture_vae.cohort.case import pseudonym
from fracture_vae.maps.calibration.apply import CalibratedMaker, drift_of_normals
from fracture_vae.maps.calibration.conformal import PValues
from fracture_vae.maps.calibration.fit import HealthyCase, Terms, fit_folds, fit_split, halves
from fracture_vae.maps.calibration.layouts import Tissue, Voxels
from fracture_vae.maps.calibration.stored import KEY, Calibration, Judged, calibration_of
from fracture_vae.maps.maker import MapMaker
from fracture_vae.maps.scores import compose

TERMS = Terms(Tissue(4, 2), 0.1, 0.2, {"score": "l1"}, "study")


def healthy(patient: str, seed: int) -> HealthyCase:
    generator = torch.Generator().manual_seed(seed)
    map_, image = torch.rand(2, 1, 1, 4, 4, 4, generator=generator)
    everywhere = torch.ones_like(map_, dtype=torch.bool)
    return HealthyCase(Voxels(map_, image, everywhere, "L1"), everywhere, pseudonym(patient))


@pytest.fixture(scope="module")
def folds() -> dict[int, Calibration]:
    return fit_folds({fold: [healthy(f"{fold}{n}", 10 * fold + n) for n in range(3)] for fold in (1, 2, 3)}, TERMS)


def test_a_fold_is_ranked_by_moments_of_the_others_alone(folds: dict[int, Calibration]) -> None:
    for fold, found in folds.items():
        assert found.reference.patients == tuple(pseudonym(f"{fold}{n}") for n in range(3))
        assert set(found.shaped_by) == {pseudonym(f"{o}{n}") for o in (1, 2, 3) if o != fold for n in range(3)}
    changed = fit_folds(
        {
            fold: [healthy(f"{fold}{n}", 10 * fold + n + (100 if fold == 2 else 0)) for n in range(3)]
            for fold in (1, 2, 3)
        },
        TERMS,
    )
    assert torch.equal(changed[2].usual.location, folds[2].usual.location), "its own cases do not count"
    assert not torch.equal(changed[1].usual.location, folds[1].usual.location)


def test_halves_keep_a_patient_together_and_do_not_look_at_order() -> None:
    patients = ["a", "b", "a", "c", "a", "d"]
    first, second = halves(patients)
    assert {patients[i] for i in first} & {patients[i] for i in second} == set()
    assert sorted(first + second) == list(range(6))
    assert abs(len(first) - len(second)) <= 2
    turned = halves(patients[::-1])
    assert {patients[::-1][i] for i in turned[0]} == {patients[i] for i in first}


def test_what_a_checkpoint_carries_is_the_calibration_again(folds: dict[int, Calibration]) -> None:
    again = calibration_of({"network": {}, KEY: folds[1].content({})}, "here")
    assert again is not None
    assert (again.layout, again.alpha, again.settings, again.study) == (TERMS.layout, 0.2, TERMS.settings, "study")
    assert (again.shaped_by, again.design, again.threshold) == (folds[1].shaped_by, "cross", folds[1].threshold)
    case = healthy("new", 99).voxels
    assert torch.equal(again.z(case), folds[1].z(case))
    assert torch.equal(again.survival, folds[1].survival)
    assert calibration_of({"network": {}}, "here") is None


def test_z_is_nothing_outside_the_field_of_view(folds: dict[int, Calibration]) -> None:
    case = healthy("new", 99).voxels
    valid = case.valid.clone()
    valid[..., 0] = False
    assert not folds[1].z(case._replace(valid=valid))[..., 0].any()


def rows(scores: dict[str, float]) -> dict[str, Any]:
    return {name: {"score_z": str(score)} for name, score in scores.items()}


def test_new_normals_are_compared_and_known_abnormal_and_unknown_ones_are_not(folds: dict[int, Calibration]) -> None:
    high = {f"n{n}": 1000.0 + n for n in range(5)}
    items = [{"case_id": name, "patient_id": name, "label": 0} for name in high]
    found = drift_of_normals(rows(high), items, list(folds.values()))
    assert found is not None
    assert (found.new, found.known, found.higher, found.surprising) == (5, 9, True, True)
    for change in ({"label": 1}, {"label": ""}, {"patient_id": "11"}):
        assert drift_of_normals(rows(high), [{**item, **change} for item in items], list(folds.values())) is None
    assert drift_of_normals({name: {"score_z": ""} for name in high}, items, list(folds.values())) is None


def test_those_who_gave_the_moments_are_not_new() -> None:
    found = fit_split([healthy(f"p{n}", n) for n in range(12)], TERMS, "here")
    items = [{"case_id": f"p{n}", "patient_id": f"p{n}", "label": 0} for n in range(12)]
    assert drift_of_normals(rows({f"p{n}": 1000.0 for n in range(12)}), items, [found]) is None


def test_what_is_said_of_a_case(folds: dict[int, Calibration]) -> None:
    maker = CalibratedMaker(list(folds.values()), MapMaker(compose("l1"), 3))
    nothing = torch.zeros(1)
    judged = Judged(nothing, nothing, 3.25, PValues(patient=0.2, case=0.1))
    assert maker.columns(judged) == {"score_z": "3.25", "p_value": "0.2", "p_case": "0.1", "flagged": 1}
    said = maker.told(judged)
    assert (said["alpha"], said["flagged"], said["healthy_cases"], said["healthy_patients"]) == (0.2, True, 9, 9)
    every = np.concatenate([c.reference.scores for c in folds.values()])
    assert said["threshold"] == np.sort(every)[-2], "two of ten, the new one among them, may be as high"
