"""Patients are dealt alike, whatever the order they come in."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.reference import reference_study
from fracture_vae.cohort.stratify import Bins, Content, Imbalance, deal, imbalance

LEVELS = ("T11", "T12", "L1", "L2")
PATIENTS = st.lists(
    st.lists(st.tuples(st.sampled_from(LEVELS), st.sampled_from([0, 1, None])), min_size=1, max_size=5),
    min_size=1,
    max_size=24,
).map(lambda contents: {f"p{number}": own for number, own in enumerate(contents)})


def folds(k: int) -> Bins:
    return Bins((1,) * k, (1,) * k)


def reference() -> dict[str, list[Content]]:
    patients: dict[str, list[Content]] = {}
    for vertebra in reference_study():
        patients.setdefault(vertebra.patient_id, []).append((vertebra.level, int(vertebra.fractured)))
    return patients


@settings(deadline=None, max_examples=60)
@given(patients=PATIENTS, k=st.integers(2, 6), seed=st.integers(0, 5), order=st.randoms())
def test_each_patient_is_dealt_once_evenly_and_whatever_the_order(patients, k, seed, order):
    dealt = deal(patients, folds(k), {}, seed)
    assert dealt.keys() == patients.keys()
    sizes = [list(dealt.values()).count(number) for number in range(k)]
    assert sum(sizes) == len(patients)
    assert max(sizes) - min(sizes) <= 1
    shuffled = [(name, order.sample(own, len(own))) for name, own in patients.items()]
    order.shuffle(shuffled)
    assert deal(dict(shuffled), folds(k), {}, seed) == dealt


@settings(deadline=None, max_examples=60)
@given(patients=PATIENTS, k=st.integers(2, 5), data=st.data())
def test_every_fold_gets_a_normal_where_there_are_enough_patients_with_one(patients, k, data):
    dealt = deal(patients, folds(k), {}, data.draw(st.integers(0, 5)))
    with_normal = {name for name, own in patients.items() if any(label == 0 for _, label in own)}
    having = {dealt[name] for name in with_normal}
    assert len(having) == min(k, len(with_normal))


@settings(deadline=None, max_examples=40)
@given(patients=PATIENTS, data=st.data())
def test_patients_given_a_bin_stay_there(patients, data):
    names = data.draw(st.lists(st.sampled_from(sorted(patients)), unique=True))
    given_bins = {name: data.draw(st.integers(0, 2)) for name in names}
    dealt = deal(patients, folds(3), given_bins, 0)
    assert {name: dealt[name] for name in names} == given_bins


@settings(deadline=None, max_examples=40)
@given(patients=PATIENTS, k=st.integers(2, 4))
def test_no_exchange_of_two_patients_makes_it_better(patients, k):
    dealt = deal(patients, folds(k), {}, 0)
    reached = imbalance(patients, folds(k), dealt)
    for one in patients:
        for other in patients:
            swapped = dealt | {one: dealt[other], other: dealt[one]}
            assert imbalance(patients, folds(k), swapped) >= reached


def test_the_imbalance_by_hand():
    patients = {"a": [("L1", 0)], "b": [("L1", 0)], "c": [("L1", 1)], "d": [("L1", 1)]}
    assert imbalance(patients, folds(2), {"a": 0, "b": 1, "c": 0, "d": 1}) == Imbalance(0, 0, 0)
    # both normals in one fold: the other has none, so lacks a normal of L1 too; normal, abnormal, L1 normal and L1
    # abnormal each deviate by 1 case in both folds, which is 8 cases²
    assert imbalance(patients, folds(2), {"a": 0, "b": 0, "c": 1, "d": 1}) == Imbalance(1, 1, 80_000)


@pytest.mark.parametrize("bins", [folds(5), Bins((8, 30), (0, 5))], ids=["folds", "hold-out"])
def test_far_better_than_chance_on_the_reference_study(bins):
    patients = reference()
    names = sorted(patients)
    places = [number for number, share in enumerate(bins.shares) for _ in range(-(-38 * share // sum(bins.shares)))][
        :38
    ]
    rng = random.Random(0)
    by_chance = []
    for _ in range(200):
        rng.shuffle(places)
        by_chance.append(imbalance(patients, bins, dict(zip(names, places, strict=True))).squares)
    for seed in range(3):
        reached = imbalance(patients, bins, deal(patients, bins, {}, seed))
        assert reached[:2] == (0, 0)
        assert reached.squares < min(by_chance)
        assert reached.squares < sorted(by_chance)[100] / 3


def test_another_seed_is_another_split_as_even():
    patients = reference()
    first, second = (deal(patients, folds(5), {}, seed) for seed in (0, 1))
    assert first != second


def test_thousands_of_patients_alike_are_dealt_evenly():
    patients: dict[str, list[Content]] = {f"p{number}": [("", int(number % 10 == 0))] for number in range(3000)}
    dealt = deal(patients, folds(5), {}, 0)
    counts = Counter((number, patients[name][0][1]) for name, number in dealt.items())
    assert set(counts.values()) == {540, 60}
