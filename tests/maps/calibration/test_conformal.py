"""p-values, thresholds and false-discovery rates: by hand, and what holds for any exchangeable draw."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fracture_vae.errors import InputError
from fracture_vae.maps.calibration.conformal import Reference, exceeds, p_values, q_values, threshold


def reference(*scores: float, patients: str = "") -> Reference:
    """Scores, of patients named by a letter each; of a patient of its own each by default."""
    owners = tuple(patients) or tuple(str(index) for index in range(len(scores)))
    return Reference(np.array(scores, dtype=float), owners)


def test_p_counts_the_healthy_cases_that_score_as_high_and_the_case_itself() -> None:
    known = reference(1, 2, 3, 4)
    assert [p_values([(known, score)]).case for score in (0.5, 2, 2.5, 4, 5)] == [1, 4 / 5, 3 / 5, 2 / 5, 1 / 5]


def test_folds_are_compared_each_with_the_score_under_its_own_model() -> None:
    first, second = reference(1, 2, 3), reference(10, 20)
    assert p_values([(first, 2.5), (second, 15)]).case == (1 + 1 + 1) / 6
    assert p_values([(first, 15), (second, 2.5)]).case == (1 + 0 + 2) / 6, "a score is no use under another model"


def test_by_patient_each_weighs_the_same() -> None:
    known = reference(1, 2, 3, 9, patients="aaab")
    found = p_values([(known, 2.5)])
    assert found.case == (1 + 2) / 5
    assert found.patient == pytest.approx((1 + 1 / 3 + 1) / 3)


def test_without_any_reference_nothing_is_unusual() -> None:
    assert p_values([]) == (1, 1)
    assert q_values([]) == []


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abcdefgh")), min_size=1, max_size=30),
    st.integers(-1, 7),
    st.sampled_from([0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5]),
)
def test_the_threshold_is_exceeded_by_exactly_the_scores_whose_p_allows_an_alarm(
    cases: list[tuple[int, str]], score: int, alpha: float
) -> None:
    known = reference(*(own for own, _ in cases), patients="".join(patient for _, patient in cases))
    assert (score > threshold(known, alpha)) == exceeds(p_values([(known, score)]).patient, alpha)


def test_too_few_patients_allow_no_alarm() -> None:
    assert threshold(reference(*range(18)), 0.05) == float("inf")
    assert threshold(reference(*range(19)), 0.05) == 18
    assert threshold(reference(*range(29)), 0.1) == 26, "0.1 · 30 is 3, though not in floating point"
    assert threshold(reference(1, 2, 3, 4, patients="aabb"), 0.5) == 3, (
        "half of b's is above, which with the new is 1.5"
    )


@given(st.lists(st.integers(0, 5), min_size=2, max_size=5), st.sampled_from([0.2, 0.34, 0.5]))
def test_of_all_orders_of_the_same_scores_at_most_alpha_give_a_false_alarm(scores: list[int], alpha: float) -> None:
    """The guarantee itself, counted out: exchangeable means that every order is as likely."""
    orders = list(permutations(scores))
    alarms = [exceeds(p_values([(reference(*order[1:]), order[0])]).case, alpha) for order in orders]
    assert sum(alarms) <= alpha * len(orders) + 1e-9


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=2, max_size=5),
    st.sampled_from([0.2, 0.34, 0.5]),
)
def test_by_patient_the_guarantee_holds_however_alike_and_however_many_a_patient_s_cases_are(
    patients: list[list[int]], alpha: float
) -> None:
    """Every patient is as likely the new one, and then each of their cases the one looked at."""
    rate = 0.0
    for new, own in enumerate(patients):
        others = [(score, str(index)) for index, cases in enumerate(patients) for score in cases if index != new]
        known = Reference(np.array([score for score, _ in others], dtype=float), tuple(name for _, name in others))
        rate += sum(exceeds(p_values([(known, score)]).patient, alpha) for score in own) / len(own) / len(patients)
    assert rate <= alpha + 1e-9


def test_by_case_patients_whose_cases_are_alike_break_the_guarantee() -> None:
    """Why there is a p-value by patient: of five patients, with ten equal cases each, one is new."""
    alarms = 0
    for new in range(5):
        known = [float(patient) for patient in range(5) if patient != new for _ in range(10)]
        alarms += exceeds(p_values([(reference(*known), float(new))]).case, 0.1)
    assert alarms / 5 == 0.2


@pytest.mark.parametrize("apart", [0.0, 0.3, 1.0, 3.0])
def test_over_folds_the_rate_is_kept_however_far_the_models_agree(apart: float) -> None:
    """Five folds of six patients with three cases each, and new ones; ``apart`` is how much is a model's own view.

    Proven is no more than about 2 α; what is seen is α and less, and the less, the further the models are apart.
    """
    rng = np.random.default_rng(0)
    alarms = []
    for _ in range(100):
        bias = rng.normal(0, apart, 5)

        def under(models: list[int], patients: int, bias: NDArray[np.float64] = bias) -> NDArray[np.float64]:
            patient = rng.normal(0, 1, (patients, 1, 1)) + rng.normal(0, apart, (patients, len(models), 1))
            return patient + bias[models][None, :, None] + rng.normal(0, 0.5, (patients, 1, 3))

        folds = [Reference(under([k], 6).ravel(), tuple(f"{k}{n // 3}" for n in range(18))) for k in range(5)]
        for case in under([0, 1, 2, 3, 4], 20)[..., 0].tolist():
            found = p_values(list(zip(folds, case, strict=True)))
            alarms.append([exceeds(found.patient, alpha) for alpha in (0.05, 0.1, 0.2)])
    rates = np.mean(alarms, axis=0)
    assert (rates <= np.array([0.05, 0.1, 0.2]) + 0.015).all(), (
        "two standard errors of 2000 draws, a study's being alike"
    )
    assert rates[2] > 0.02


def test_q_values_are_benjamini_and_hochberg_s() -> None:
    assert q_values([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert q_values([0.03]) == [0.03]


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=20), st.floats(0.01, 0.5))
def test_q_values_find_what_the_step_up_procedure_finds(p: list[float], rate: float) -> None:
    ordered = sorted(p)
    passing = [value for rank, value in enumerate(ordered, start=1) if value <= rank * rate / len(p) * (1 + 1e-12)]
    found = [value for value, q in zip(p, q_values(p), strict=True) if q <= rate * (1 + 1e-12)]
    assert sorted(found) == [value for value in ordered if passing and value <= passing[-1]]


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        threshold(reference(1, 2), alpha)
