"""AUROC by hand and against scikit-learn and MONAI; its interval respects patients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_roc_auc
from sklearn.metrics import roc_auc_score

from fracture_vae.errors import InputError
from fracture_vae.evaluation import auroc as package_auroc
from fracture_vae.evaluation import stratified_auroc


def auroc(labels: list[int], scores: list[float]) -> float:
    return package_auroc(np.array(labels), np.array(scores, dtype=np.float64))


def test_by_hand() -> None:
    assert auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75  # 3 of 4 pairs in order
    assert auroc([0, 1], [0.0, 1.0]) == 1
    assert auroc([0, 1], [1.0, 0.0]) == 0
    assert auroc([0, 1, 0, 1], [0.5] * 4) == 0.5, "ties count half"
    assert auroc([0, 0, 1], [0.1, 0.5, 0.5]) == 0.75


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    labels = draw(st.lists(st.integers(0, 1), min_size=2, max_size=40).filter(lambda v: 0 < sum(v) < len(v)))
    scores = draw(st.lists(st.integers(0, 12), min_size=len(labels), max_size=len(labels)))
    return labels, [float(score) for score in scores]


@given(cases())
def test_scikit_learn_and_monai_agree(given_cases: tuple[list[int], list[float]]) -> None:
    labels, scores = given_cases
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert auroc(labels, scores) == pytest.approx(compute_roc_auc(torch.tensor(scores), torch.tensor(labels)))


@given(cases())
def test_turned_round_it_is_the_rest_to_one(given_cases: tuple[list[int], list[float]]) -> None:
    labels, scores = given_cases
    assert auroc(labels, [-score for score in scores]) == pytest.approx(1 - auroc(labels, scores))


@settings(max_examples=10, deadline=None)
@given(cases(), st.integers(0, 5))
def test_the_interval_lies_in_0_to_1(given_cases: tuple[list[int], list[float]], seed: int) -> None:
    labels, scores = given_cases
    found = stratified_auroc(labels, scores, [str(i) for i in range(len(labels))], seed=seed)
    assert 0 <= found.low <= found.high <= 1
    assert found.value == auroc(labels, scores)
    assert found.normal + found.abnormal == found.patients == len(labels)


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 3.0])
def test_the_interval_holds_the_value(distance: float) -> None:
    rng = np.random.default_rng(1)
    labels = [0] * 30 + [1] * 30
    scores = [*rng.normal(0, 1, 30), *rng.normal(distance, 1, 30)]
    found = stratified_auroc(labels, scores, [str(i) for i in range(60)])
    assert found.low <= found.value <= found.high
    # Hanley and McNeil 1982, eq. 1: the standard error the bootstrap should come near to
    a = found.value
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = ((a * (1 - a) + 29 * (q1 - a * a) + 29 * (q2 - a * a)) / 900) ** 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.35)


@settings(max_examples=5, deadline=None)
@given(cases(), st.integers(0, 3), st.integers(1, 4))
def test_resamples_draw_whole_patients(given_cases: tuple[list[int], list[float]], seed: int, each: int) -> None:
    labels, scores = map(np.array, given_cases)
    owner = np.arange(len(labels)) // each
    rng = np.random.default_rng(seed)
    areas: list[float] = []
    for _ in range(2000):
        drawn = np.concatenate([np.flatnonzero(owner == p) for p in rng.integers(owner[-1] + 1, size=owner[-1] + 1)])
        if 0 < labels[drawn].sum() < len(drawn):
            areas.append(package_auroc(labels[drawn], scores[drawn]))
    found = stratified_auroc(labels.tolist(), scores.tolist(), [f"p{i:02d}" for i in owner], seed=seed)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(areas, [2.5, 97.5])))


def test_cases_of_one_patient_make_the_interval_wider() -> None:
    rng = np.random.default_rng(0)
    shift = rng.normal(0, 1, 12)
    labels = [i % 2 for i in range(12) for _ in range(6)]
    scores = [shift[i] + (i % 2) + rng.normal(0, 0.1) for i in range(12) for _ in range(6)]
    grouped = stratified_auroc(labels, scores, [str(i) for i in range(12) for _ in range(6)])
    alone = stratified_auroc(labels, scores, [str(i) for i in range(72)])
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
    assert grouped.patients == 12


def test_the_same_seed_gives_the_same_interval() -> None:
    labels, scores, patients = [0, 1] * 6, [float(i * 7 % 12) for i in range(12)], [str(i) for i in range(12)]
    assert stratified_auroc(labels, scores, patients, seed=1) == stratified_auroc(labels, scores, patients, seed=1)


def test_it_reads_as_a_sentence() -> None:
    text = str(stratified_auroc([0, 0, 1], [0.0, 1.0, 2.0], ["a", "b", "c"]))
    assert text.startswith("1.00 (95 % interval 1.00 to 1.00; 1 abnormal and 2 normal cases of 3 patients")


@pytest.mark.parametrize(
    ("labels", "scores", "complaint"),
    [
        ([0, 0], [1.0, 2.0], "needs both labels; there are 2 normal and 0 abnormal"),
        ([1], [1.0], "needs both labels"),
        ([0, 1], [1.0, float("nan")], "1 are not a number"),
    ],
)
def test_what_has_no_auroc_is_refused(labels: list[int], scores: list[float], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        stratified_auroc(labels, scores, [str(i) for i in range(len(labels))])
