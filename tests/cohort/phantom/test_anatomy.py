"""The drawn patient and its fractures, as numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Fracture
from fracture_vae.cohort.phantom.anatomy import ASKABLE, LEVELS, draw_vertebra, label_of
from fracture_vae.cohort.phantom.collapse import draw_collapse, healthy_heights, heights
from fracture_vae.cohort.phantom.disc import draw_disc
from fracture_vae.cohort.phantom.patient import draw_patient
from fracture_vae.cohort.phantom.poses import draw_poses
from fracture_vae.errors import InputError

seeds = st.integers(0, 2**32 - 1)


def test_levels_carry_their_verse_labels() -> None:
    assert [label_of(level) for level in ("T1", "T4", "T12", "L1", "L5")] == [8, 11, 19, 20, 24]


@settings(max_examples=60, deadline=None)
@given(seed=seeds, level=st.sampled_from(ASKABLE), kind=st.sampled_from(TYPES), grade=st.sampled_from((1, 2, 3)))
def test_every_drawn_fracture_lies_in_its_grade(seed: int, level: str, kind: str, grade: int) -> None:
    vertebra = draw_vertebra(draw_patient(seed), level)
    before = healthy_heights(vertebra)
    after = heights(vertebra, draw_collapse(seed, vertebra, Fracture(kind, grade)))
    loss = [1 - a / b for a, b in zip(after, before, strict=True)]
    low, high = GRADE_LOSS[grade]
    assert low <= loss[TYPES.index(kind)] <= high
    if kind == "wedge":
        assert loss[0] > loss[1] > loss[2] - 0.01
        assert abs(loss[2]) < 0.06
    elif kind == "biconcave":
        assert max(loss[0], loss[2]) < 0.5 * loss[1]
    else:
        assert min(loss) > 0.7 * low


@settings(max_examples=60, deadline=None)
@given(seed=seeds, level=st.sampled_from(ASKABLE))
def test_normal_bodies_are_not_wedged(seed: int, level: str) -> None:
    front, middle, back = healthy_heights(draw_vertebra(draw_patient(seed), level))
    assert 0.80 < front / back < (1.35 if level == "L5" else 1.25)
    assert 0.55 < middle / max(front, back) < 1.05  # a Schmorl node counts
    assert 12 < back < 36


def test_a_normal_wedge_ratio_is_near_one() -> None:
    ratios = []
    for seed in range(100):
        front, _, back = healthy_heights(draw_vertebra(draw_patient(seed), ASKABLE[seed % 13]))  # T4 … L4
        ratios.append(front / back)
    assert 0.95 < np.mean(ratios) < 1.03
    assert np.mean([0.84 < ratio < 1.2 for ratio in ratios]) > 0.95


def test_whole_thoracic_bodies_are_wedged_up_to_a_sixth() -> None:
    loss = []
    for seed in range(120):
        front, _, back = healthy_heights(draw_vertebra(draw_patient(seed), ASKABLE[seed % 9]))  # T4 … T12
        loss.append(1 - front / back)
    assert np.mean([share > 0.08 for share in loss]) > 0.1, "some are wedged enough to be taken for a fracture"
    assert max(loss) < 0.19


def test_both_neighbours_of_a_disc_know_the_same_disc() -> None:
    patient = draw_patient(4)
    upper, lower = draw_vertebra(patient, "L3"), draw_vertebra(patient, "L4")
    assert lower.disc_above == upper.disc == draw_disc(patient, LEVELS.index("L3"))
    assert upper.disc_below == pytest.approx(11.0 * patient.scale * upper.disc.height)


def test_wear_follows_degeneration() -> None:
    patients = [draw_patient(seed) for seed in range(80)]
    worn, osteophytes = [], []
    for patient in patients:
        vertebrae = [draw_vertebra(patient, level) for level in ("T11", "L1", "L3", "L5")]
        worn.append(sum(vertebra.disc.worn for vertebra in vertebrae))
        osteophytes.append(sum(len(vertebra.lips) for vertebra in vertebrae))
    degeneration = [patient.degeneration for patient in patients]
    assert np.corrcoef(degeneration, worn)[0, 1] > 0.4
    assert np.corrcoef(degeneration, osteophytes)[0, 1] > 0.5


def test_patients_differ_in_size_density_and_curve() -> None:
    patients = [draw_patient(seed) for seed in range(60)]
    assert np.std([p.scale for p in patients]) > 0.03
    density = [p.trabecular for p in patients]
    assert min(density) < 60, "osteoporosis"
    assert max(density) > 240, "dense bone"
    lean = []
    for patient in patients[:20]:
        poses = draw_poses(patient, {level: draw_vertebra(patient, level) for level in LEVELS})
        lean.append(float(np.degrees(np.arctan2(poses["T4"].axes[1, 2], poses["T4"].axes[2, 2]))))
    assert np.std(lean) > 3


def test_mean_heights_of_the_table_are_kept() -> None:
    back = {level: [] for level in ("T4", "L3")}
    for seed in range(80):
        for level, values in back.items():
            values.append(draw_vertebra(draw_patient(seed), level).height_back)
    assert np.mean(back["T4"]) == pytest.approx(18.2, rel=0.03)
    assert np.mean(back["L3"]) == pytest.approx(27.4, rel=0.03)


@pytest.mark.parametrize(("kind", "grade", "told"), [("wege", 1, "did you mean 'wedge'"), ("crush", 4, "grade 4")])
def test_an_unknown_fracture_is_told(kind: str, grade: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Fracture(kind, grade)
