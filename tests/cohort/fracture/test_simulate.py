"""A real CT with a fracture: what moved, what didn't, and what the truth says."""

import numpy as np
import pytest
from scipy import ndimage

from fracture_vae.cohort.fracture import Simulation, break_vertebrae, measure
from fracture_vae.cohort.fracture.collapse import Collapse
from fracture_vae.cohort.fracture.noise import fine
from fracture_vae.cohort.fracture.settle import settle
from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Heights
from fracture_vae.cohort.phantom import simulate_spine
from tests.cohort.fracture.conftest import Scan

L2, L3, L4 = 21, 22, 23


@pytest.fixture(scope="module")
def crushed(trunk: Scan) -> Simulation:
    """L3 of the trunk CT as a crush of grade 1."""
    return trunk.broken(29, "crush", 1)


def in_range(made: Simulation) -> None:
    for broken in made.fractures:
        low, high = GRADE_LOSS[broken.parameters.grade]
        assert low <= broken.losses[TYPES.index(broken.parameters.type)] <= high


def test_the_written_mask_measures_the_grade_asked_for(wedged: Simulation, crushed: Simulation, verse: Scan) -> None:
    in_range(wedged)
    in_range(crushed)
    again = measure(wedged.labels == L3, verse.affine, verse.body(L3))
    assert again == wedged.fractures[0].after
    losses = wedged.fractures[0].losses
    assert losses.anterior > losses.middle > losses.posterior - 0.01


def test_nothing_changes_where_nothing_moved(wedged: Simulation, verse: Scan) -> None:
    still = wedged.displacement == 0
    assert 0.3 < still.mean() < 0.95
    np.testing.assert_array_equal(wedged.ct[still], verse.ct[still])
    np.testing.assert_array_equal(wedged.labels[still], verse.labels[still])
    assert not wedged.truth[still].any()


def test_the_deformation_is_invertible(verse: Scan) -> None:
    body = verse.body(L3)
    parameters = verse.candidates(L3, "crush", 2, cortical_break=True)[0]
    collapse = Collapse(body, parameters, Heights(8.0, 8.0, 8.0))
    settling = settle(collapse, verse.ct, verse.labels, L3, verse.affine).smoothed(0.45)
    random = np.random.default_rng(0)
    own = random.uniform(-1, 1, (3, 4000)) * [[30], [45], [40]] - [[0], [12], [0]]

    def derivative(points: np.ndarray) -> np.ndarray:
        steps = 0.05 * np.eye(3)
        columns = [
            (settling.source_of(points + s[:, None]) - settling.source_of(points - s[:, None])) / 0.1 for s in steps
        ]
        return np.stack(columns, axis=1).transpose(2, 0, 1)

    source = settling.source_of(own)
    assert np.linalg.norm(source - own, axis=0).max() > 4
    assert np.linalg.det(derivative(own)).min() > 0
    found = source + (own - source) * 0.8  # a start away from the answer
    for _ in range(40):
        step = np.linalg.solve(derivative(found), (source - settling.source_of(found)).T[..., None])[..., 0].T
        found = found + 0.7 * step
    assert np.percentile(np.linalg.norm(found - own, axis=0), 99) < 0.05


def test_neighbours_keep_their_shape(verse: Scan) -> None:
    body = verse.body(L3)
    collapse = Collapse(body, verse.candidates(L3, "wedge", 3)[0], Heights(11.0, 5.0, 0.0))
    settling = settle(collapse, verse.ct, verse.labels, L3, verse.affine).smoothed(0.45)
    inverse = np.linalg.inv(verse.affine)
    points = verse.points()
    source = body.frame.to_world(settling.source_of(body.frame.to_own(points)))
    index = inverse[:3, :3] @ source + inverse[:3, 3:]
    moved = []
    for number in (20, L2, L4):
        there = ndimage.map_coordinates((verse.labels == number).astype(np.float32), index, order=1) > 0.5
        now, before = points[:, there], source[:, there]
        moved.append(np.linalg.norm(now - before, axis=0).mean())
        a, b = now - now.mean(1, keepdims=True), before - before.mean(1, keepdims=True)
        u, _, v = np.linalg.svd(b @ a.T)
        assert np.sqrt(((b - u @ v @ a) ** 2).sum(0).mean()) < 0.5
    assert moved[0] > 2
    assert moved[1] > 2
    assert moved[2] < 0.2


def test_truth_lies_in_or_beside_the_broken_body(wedged: Simulation, verse: Scan) -> None:
    body = verse.body(L3)
    truth = wedged.fractures[0].truth
    np.testing.assert_array_equal(truth, wedged.truth)
    own = body.frame.to_own(verse.points()[:, truth.ravel()])
    assert np.abs(own[0]).max() < body.half_width + 6
    assert np.abs(own[1]).max() < body.half_depth + 7
    assert np.abs(own[2]).max() < body.height[body.footprint].max() / 2 + 4
    lost = (verse.labels == L3) & (wedged.labels == 0) & (body.frame.to_own(verse.points())[1] > 0).reshape(truth.shape)
    assert truth[lost].mean() > 0.9
    assert wedged.displacement[truth].max() > 5


def test_noise_in_the_broken_body_is_as_strong_as_before(wedged: Simulation, verse: Scan) -> None:
    body = verse.body(L3)
    inside = body.inside(body.frame.to_own(verse.points())).reshape(verse.ct.shape)
    cores = [ndimage.binary_erosion(inside & (labels == L3), iterations=3) for labels in (verse.labels, wedged.labels)]
    spread = [float(fine(ct)[core].std()) for ct, core in zip((verse.ct, wedged.ct), cores, strict=True)]
    assert 0.9 < spread[1] / spread[0] < 1.1


@pytest.mark.parametrize("name", ["wedged", "crushed"])
def test_noise_in_what_moved_is_as_strong_as_before(request: pytest.FixtureRequest, name: str) -> None:
    made: Simulation = request.getfixturevalue(name)
    scan: Scan = request.getfixturevalue("verse" if name == "wedged" else "trunk")
    neighbour, margin = (L2, 2) if name == "wedged" else (30, 1)
    cores = [ndimage.binary_erosion(labels == neighbour, iterations=margin) for labels in (scan.labels, made.labels)]
    assert made.displacement[cores[1]].mean() > 1
    spread = [float(fine(ct)[core].std()) for ct, core in zip((scan.ct, made.ct), cores, strict=True)]
    assert 0.9 < spread[1] / spread[0] < 1.1


def test_the_same_seed_gives_the_same_scan_and_recorded_parameters_replay_it(crushed: Simulation, trunk: Scan) -> None:
    recorded = crushed.fractures[0].parameters
    again = break_vertebrae(trunk.ct, trunk.labels, trunk.affine, {29: [recorded]}, {29: "L3"})
    np.testing.assert_array_equal(again.ct, crushed.ct)
    np.testing.assert_array_equal(again.labels, crushed.labels)
    assert again.fractures[0].after == crushed.fractures[0].after


def test_a_vertebra_that_settled_can_break_too_and_the_lower_fracture_stays(crushed: Simulation, trunk: Scan) -> None:
    both = {29: trunk.candidates(29, "crush", 1), 30: trunk.candidates(30, "biconcave", 2)}
    made = break_vertebrae(trunk.ct, trunk.labels, trunk.affine, both, {29: "L3", 30: "L2"})
    assert [broken.number for broken in made.fractures] == [29, 30]
    assert made.fractures[0].after == crushed.fractures[0].after
    in_range(made)


def test_a_phantom_breaks_as_a_patient_does() -> None:
    spine = simulate_spine(7, ["L1"], spacing=2.0)
    scan = Scan(spine.ct, spine.mask, spine.affine)
    made = scan.broken(20, "wedge", 2)
    in_range(made)
    known = np.array(spine.heights["L1"])
    np.testing.assert_allclose(made.fractures[0].before, known, atol=1.8)
