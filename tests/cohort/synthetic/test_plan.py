"""A synthetic study before anything is rendered: who is in it, in which fold, broken where and how."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from fracture_vae.cohort.reference import reference_study
from fracture_vae.cohort.synthetic import Plan, SyntheticCohort, asked_levels, plan_cohort, plan_reference
from fracture_vae.cohort.synthetic.plan import TYPE_SHARES
from fracture_vae.errors import InputError


def fractures(plan: Plan) -> list[dict[str, Any]]:
    return [patient.fractures for patient in plan.patients]


def test_the_reference_plan_has_the_reference_s_patients_levels_folds_and_broken_levels() -> None:
    plan = plan_reference()
    planned = [
        (patient.name.removeprefix("synth"), patient.fold, level, fracture is not None)
        for patient in plan.patients
        for level, fracture in patient.vertebrae.items()
    ]
    assert planned == [tuple(vertebra) for vertebra in reference_study()]
    assert (len(plan.patients), plan.vertebrae) == (38, 514)
    assert all(patient.name.startswith("synth") for patient in plan.patients)
    assert len({patient.seed for patient in plan.patients}) == 38


def test_grades_are_balanced_and_types_mostly_wedges() -> None:
    drawn = [fracture for own in fractures(plan_reference()) for fracture in own.values()]
    assert len(drawn) == 235
    assert min(Counter(fracture.grade for fracture in drawn).values()) > 70
    types = Counter(fracture.type for fracture in drawn)
    for name, share in TYPE_SHARES.items():
        assert types[name] / 235 == pytest.approx(share, abs=0.1)
    for own in fractures(plan_reference()):  # as balanced within a patient as can be
        counts = Counter(fracture.grade for fracture in own.values())
        assert max(counts.values()) - min(counts[grade] for grade in (1, 2, 3)) <= 1


def test_a_plan_follows_from_its_seed() -> None:
    asked = SyntheticCohort(patients=40, holdout=10, levels=("T12", "L1", "L2"))
    assert plan_cohort(replace(asked, seed=1)) == plan_cohort(replace(asked, seed=1))
    assert fractures(plan_cohort(replace(asked, seed=1))) != fractures(plan_cohort(replace(asked, seed=2)))
    counts = [len(own) for own in fractures(plan_cohort(asked))]
    assert counts[:40] == [1] * 40, "a third of three levels"
    assert set(counts[40:]) == {1, 2}, "half of three levels"
    assert plan_reference(seed=1) == plan_reference(seed=1)
    assert fractures(plan_reference(seed=1)) != fractures(plan_reference(seed=2))


def test_a_digest_stands_for_everything_that_changes_what_is_made() -> None:
    digests = [plan_reference(**own).digest() for own in ({}, {"size": 64}, {"spacing": 2.0}, {"seed": 1}, {})]
    assert len(set(digests)) == 4
    assert digests[0] == digests[-1]


def test_more_patients_leave_the_first_ones_as_they_were() -> None:
    few, many = (plan_cohort(SyntheticCohort(patients=number, holdout=0)).patients[3] for number in (5, 500))
    assert few._replace(fold="") == many._replace(fold="")


def test_patients_are_dealt_to_folds_and_the_holdout_stays_apart() -> None:
    plan = plan_cohort(SyntheticCohort(patients=11, holdout=3, folds=4))
    folds = [patient.fold for patient in plan.patients]
    assert folds[11:] == ["test"] * 3
    assert sorted(Counter(folds[:11]).values()) == [2, 3, 3, 3]


def test_levels_are_asked_for_as_a_range() -> None:
    assert asked_levels("T11-L1,L4") == ("T11", "T12", "L1", "L4"), "without T13"
    plan = plan_cohort(SyntheticCohort(levels=("L4", "T11")))
    assert list(plan.patients[0].vertebrae) == ["T11", "L4"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"patients": 3, "folds": 5}, "3 patients cannot fill 5 folds"),
        ({"folds": 1}, "need 2 ≤ folds"),
        ({"holdout": -1}, "no negative hold-out"),
        ({"levels": ()}, "at least one level"),
        ({"levels": ("L9",)}, "level 'L9' can't be simulated"),
        ({"levels": ("L1", "L1")}, "name each once"),
        ({"fractured": 1.5}, "a share lies in"),
        ({"size": 4}, "no such crop"),
        ({"spacing": 20.0}, "no such crop"),
        ({"seed": -1}, "seed -1 is negative"),
    ],
)
def test_a_study_that_cannot_be_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        SyntheticCohort(**wrong)


def test_a_study_that_breaks_too_many_vertebrae_is_refused() -> None:
    with pytest.raises(InputError, match=r"0 of 2 patients would have an unbroken vertebra, fewer than 2 folds"):
        plan_cohort(SyntheticCohort(patients=2, folds=2, fractured=1.0))
