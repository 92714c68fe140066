"""AUROC within strata: by hand, and as a property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.errors import InputError
from fracture_vae.evaluation import auroc, stratified_auroc

cases = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-3, 3), st.sampled_from("pqrs"), st.sampled_from("ab")),
    min_size=2,
    max_size=30,
)


def test_pairs_of_one_stratum_are_counted_and_no_others_by_hand() -> None:
    #         a: 2 > 1 won, 2 = 2 half; b: 0 < 5 lost. Across strata, 0 would win and lose to others.
    labels, scores = [1, 0, 0, 1, 0], [2.0, 1.0, 2.0, 0.0, 5.0]
    found = stratified_auroc(labels, scores, list("pqrst"), list("aaabb"))
    assert found.value == pytest.approx(1.5 / 3)
    assert (found.normal, found.abnormal, found.patients) == (3, 2, 5)
    plain = stratified_auroc(labels, scores, list("pqrst"))
    assert plain.value == pytest.approx((1 + 0.5 + 0 + 0 + 0 + 0) / 6)


def test_a_score_that_only_knows_the_stratum_has_one_half() -> None:
    labels = [1] * 9 + [0] + [1] + [0] * 9
    strata = ["L1"] * 10 + ["T4"] * 10
    known = [0.9] * 10 + [0.1] * 10
    patients = [f"p{i % 10}" for i in range(20)]
    assert stratified_auroc(labels, known, patients).value == pytest.approx(0.9)
    assert stratified_auroc(labels, known, patients, strata).value == 0.5


@settings(max_examples=20, deadline=None)
@given(cases)
def test_with_one_stratum_it_is_the_plain_auroc_and_constant_scores_have_one_half(rows: list) -> None:
    labels, scores, patients, _ = (list(column) for column in zip(*rows, strict=True))
    if len(set(labels)) < 2:
        return
    one = stratified_auroc(labels, scores, patients, ["x"] * len(rows))
    assert one.value == pytest.approx(auroc(np.array(labels), np.array(scores, float)))
    assert one == stratified_auroc(labels, scores, patients)
    constant = stratified_auroc(labels, [1.0] * len(rows), patients)
    assert constant[:3] == (0.5, 0.5, 0.5)


@settings(max_examples=20, deadline=None)
@given(cases)
def test_it_is_the_mean_over_strata_weighted_by_their_pairs(rows: list) -> None:
    labels, scores, patients, strata = (np.array(column) for column in zip(*rows, strict=True))
    areas, weights = [], []
    for stratum in set(strata.tolist()):
        own = strata == stratum
        if len(set(labels[own].tolist())) == 2:
            areas.append(auroc(labels[own], scores[own].astype(float)))
            weights.append((labels[own] == 1).sum() * (labels[own] == 0).sum())
    if areas:
        found = stratified_auroc(labels.tolist(), scores.tolist(), patients.tolist(), strata.tolist())
        assert found.value == pytest.approx(np.average(areas, weights=weights))
        assert 0 <= found.low <= found.high <= 1


def test_without_a_pair_there_is_no_area() -> None:
    with pytest.raises(InputError, match="both labels in one stratum; there are 1 normal and 1 abnormal cases"):
        stratified_auroc([0, 1], [1.0, 2.0], ["p", "q"], ["a", "b"])
    with pytest.raises(InputError, match="needs both labels; there are 2 normal"):
        stratified_auroc([0, 0], [1.0, 2.0], ["p", "q"])
    with pytest.raises(InputError, match="1 are not a number"):
        stratified_auroc([0, 1], [1.0, float("nan")], ["p", "q"])
