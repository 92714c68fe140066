"""Which cases are compared with those calibrated on, and what is said of a case."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fracture_vae.cohort.case import pseudonym
from fracture_vae.maps.calibration.apply import CalibratedMaker, drift_of_normals
from fracture_vae.maps.calibration.conformal import PValues, Reference, joined
from fracture_vae.maps.calibration.drift import SURPRISING, drift
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
    return HealthyCase(Voxels(map_, image, everywhere, "L1", (1.0, 1.0, 1.0)), everywhere, pseudonym(patient))


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


def told(scores: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """What sidecars say of cases: their score under each model."""
    return {name: {"scores_z": list(own)} for name, own in scores.items()}


def test_new_normals_are_compared_and_known_abnormal_and_unknown_ones_are_not(folds: dict[int, Calibration]) -> None:
    high = told({f"n{n}": [1000.0 + n] * 3 for n in range(5)})
    items = [{"case_id": name, "patient_id": name, "label": 0} for name in high]
    found = drift_of_normals(high, items, list(folds.values()), ())
    assert found is not None
    assert (found.new, found.known, found.higher, found.surprising) == (5, 9, True, True)
    for change in ({"label": 1}, {"label": ""}, {"patient_id": "11"}):
        assert drift_of_normals(high, [{**item, **change} for item in items], list(folds.values()), ()) is None
    assert drift_of_normals(dict.fromkeys(high), items, list(folds.values()), ()) is None, "without z"
    assert drift_of_normals({}, items, list(folds.values()), ()) is None, "not written"


def test_those_who_gave_the_moments_or_were_trained_on_are_not_new() -> None:
    found = fit_split([healthy(f"p{n}", n) for n in range(12)], TERMS, "here")
    items = [{"case_id": f"p{n}", "patient_id": f"p{n}", "label": 0} for n in range(12)]
    assert drift_of_normals(told({f"p{n}": [1000.0] for n in range(12)}), items, [found], ()) is None
    others = [{"case_id": f"t{n}", "patient_id": f"t{n}", "label": 0} for n in range(5)]
    low = told({f"t{n}": [-1000.0] for n in range(5)})
    assert drift_of_normals(low, others, [found], ()) is not None
    assert drift_of_normals(low, others, [found], [pseudonym(f"t{n}") for n in range(5)]) is None


def drawn(folds: dict[int, Calibration], rng: np.random.Generator, shift: float) -> tuple[bool, bool]:
    """Draw a study of 60 patients in three folds and 40 new ones, and say whether drift is told, and would be of means.

    A score has a part of its patient's, one of the model's, and one of both's, which a mean over models loses.
    """

    def under(models: Sequence[int], patients: int) -> NDArray[np.float64]:
        own = rng.normal(0, 0.3, (patients, 1, 1)) + rng.normal(0, 1, (patients, len(models), 1))
        return own + bias[list(models)][None, :, None] + rng.normal(0, 0.3, (patients, len(models), 3))

    bias = rng.normal(0, 1, 3)
    calibrations = [
        replace(own, reference=Reference(under([model], 20).ravel(), tuple(f"{model}_{n}" for n in np.arange(60) // 3)))
        for model, own in enumerate(folds.values())
    ]
    names = [f"new {rng.integers(1 << 40)}" for _ in range(40)]
    new = under([0, 1, 2], 40) + shift
    items = [{"case_id": f"{name} {n}", "patient_id": name, "label": 0} for name in names for n in range(3)]
    scores = {f"{name} {n}": new[at, :, n].tolist() for at, name in enumerate(names) for n in range(3)}
    found = drift_of_normals(told(scores), items, calibrations, ())
    known = joined([own.reference for own in calibrations])
    means = drift(known.scores.tolist(), known.patients, new.mean(1).ravel().tolist(), np.repeat(names, 3).tolist())
    assert found is not None
    assert means is not None
    return found.surprising, means.surprising


def test_several_models_are_not_told_for_agreeing_better_than_one(folds: dict[int, Calibration]) -> None:
    rng = np.random.default_rng(0)
    one, means = np.mean([drawn(folds, rng, 0) for _ in range(300)], axis=0)
    assert one <= 3 * SURPRISING
    assert means > 3 * SURPRISING, "why a patient is compared under one model"
    assert np.mean([drawn(folds, rng, 3)[0] for _ in range(20)]) == 1


def test_what_is_said_of_a_case(folds: dict[int, Calibration]) -> None:
    maker = CalibratedMaker(list(folds.values()), MapMaker(compose("l1"), 3))
    nothing = torch.zeros(1)
    judged = Judged(nothing, nothing, (3.0, 3.5), PValues(patient=0.2, case=0.1))
    assert maker.columns(judged) == {"score_z": "3.25", "p_value": "0.2", "p_case": "0.1", "flagged": 1}
    said = maker.told(judged)
    assert (said["score_z"], said["scores_z"]) == (3.25, [3.0, 3.5])
    assert (said["alpha"], said["flagged"], said["healthy_cases"], said["healthy_patients"]) == (0.2, True, 9, 9)
    every = np.concatenate([c.reference.scores for c in folds.values()])
    assert said["threshold"] == np.sort(every)[-2], "two of ten, the new one among them, may be as high"
