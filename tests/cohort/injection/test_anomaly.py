"""One anomaly: where it is, what it changes, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fracture_vae.cohort.injection import KINDS, Anomaly, draw_anomaly, inject
from fracture_vae.cohort.injection.anomaly import _displacement, _reach
from fracture_vae.errors import InputError

ONE_MM = np.ones(3)


@pytest.fixture(scope="module")
def scan() -> NDArray[np.float32]:
    """A smooth, noisy image of integers, 32 x 36 x 30."""
    random = np.random.default_rng(0)
    smooth = gaussian_filter(random.normal(size=(32, 36, 30)), 3)
    return np.rint(500 + 200 * smooth / smooth.std() + random.normal(0, 10, smooth.shape)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6))
def test_the_image_is_left_alone_outside_the_truth(scan: NDArray[np.float32], kind: str, seed: int) -> None:
    anomaly = draw_anomaly(np.random.default_rng(seed), kind, scan, ONE_MM)
    made = inject(scan, ONE_MM, anomaly)
    assert np.array_equal(made.array[~made.truth], scan[~made.truth])
    assert (made.array != scan)[made.truth].mean() > 0.5
    assert np.isin(made.array, scan).all()
    centre = np.round(anomaly.centre).astype(int)
    assert np.linalg.norm(np.argwhere(made.truth) - centre, axis=1).max() < 9 * 1.25**2 * np.exp(0.15 * 4)


def test_the_same_anomaly_makes_the_same_image(scan: NDArray[np.float32]) -> None:
    one, other = (draw_anomaly(np.random.default_rng(3), "missing", scan, ONE_MM) for _ in range(2))
    assert one == other
    assert np.array_equal(inject(scan, ONE_MM, one).array, inject(scan, ONE_MM, other).array)


@pytest.mark.parametrize(("kind", "sign"), [("hypo", -1), ("hyper", 1)])
def test_intensity_moves_by_the_strength_in_the_middle(scan: NDArray[np.float32], kind: str, sign: int) -> None:
    anomaly = replace(draw_anomaly(np.random.default_rng(1), kind, scan, ONE_MM), centre=(16, 18, 15), strength=0.2)
    made = inject(scan, ONE_MM, anomaly)
    low, high = np.percentile(scan, [1, 99])
    expected = np.clip(scan[16, 18, 15] + sign * 0.2 * (high - low), scan.min(), scan.max())
    assert made.array[16, 18, 15] == pytest.approx(expected, abs=10)  # the image holds no value nearer


def test_missing_tissue_is_dark(scan: NDArray[np.float32]) -> None:
    anomaly = replace(draw_anomaly(np.random.default_rng(1), "missing", scan, ONE_MM), strength=1.0)
    made = inject(scan, ONE_MM, anomaly)
    middle = made.array[tuple(np.round(anomaly.centre).astype(int))]
    assert middle < np.percentile(scan, 20)


def test_a_shift_moves_an_edge() -> None:
    step = np.zeros((31, 31, 31), np.float32)
    step[16:] = 1
    moved = Anomaly("deformation", "shift", (15, 15, 15), (8, 8, 8), (0, 0, 0), (1, 0, 0), 0.5, 0)
    made = inject(step, ONE_MM, moved)
    assert made.array[:, 15, 15].argmax() == pytest.approx(16 + 4, abs=1)  # half the radius along x
    assert made.array[:, 2, 2].argmax() == 16


@pytest.mark.parametrize(("way", "grows"), [("swell", True), ("shrink", False)])
def test_a_ball_swells_or_shrinks(way: str, grows: bool) -> None:
    ball = (np.linalg.norm(np.indices((31, 31, 31)).T - 15.0, axis=-1) < 4).astype(np.float32)
    made = inject(ball, ONE_MM, Anomaly("deformation", way, (15, 15, 15), (9, 9, 9), (0, 0, 0), (1, 0, 0), 0.15, 0))
    assert (made.array.sum() > 1.2 * ball.sum()) if grows else (made.array.sum() < 0.8 * ball.sum())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_deformations_hardly_ever_fold(scan: NDArray[np.float32], seed: int) -> None:
    anomaly = draw_anomaly(np.random.default_rng(seed), "deformation", scan, ONE_MM)
    offset = (np.indices(scan.shape).T - anomaly.centre) * ONE_MM
    reach = _reach(offset, anomaly, ONE_MM, np.random.default_rng(anomaly.seed)).T
    moved = _displacement(offset, reach, anomaly)
    jacobian = (
        np.stack([np.gradient(component, axis=(0, 1, 2)) for component in moved]) + np.eye(3)[..., None, None, None]
    )
    determinant = np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1)))
    assert (determinant <= 0).mean() < 1e-4


def test_millimetres_count_not_voxels(scan: NDArray[np.float32]) -> None:
    spacing = np.array([1.0, 1.0, 2.0])
    anomaly = Anomaly("hypo", "", (16, 18, 15), (8, 8, 8), (0, 0, 0), (1, 0, 0), 0.3, 0)
    extent = np.ptp(np.argwhere(inject(scan, spacing, anomaly).truth), axis=0) + 1
    assert extent[2] < 0.7 * extent[0]


def test_a_centre_lies_in_tissue() -> None:
    half = np.full((30, 30, 30), 0.0, np.float32)
    half[15:] = 100 + np.random.default_rng(0).normal(0, 1, (15, 30, 30))
    centres = [draw_anomaly(np.random.default_rng(seed), "hypo", half, ONE_MM).centre[0] for seed in range(20)]
    assert min(centres) >= 13  # the image is smoothed before it is looked at


def test_an_unknown_kind_is_refused(scan: NDArray[np.float32]) -> None:
    with pytest.raises(InputError, match="'hole' is not one of deformation, hypo, hyper, missing"):
        draw_anomaly(np.random.default_rng(0), "hole", scan, ONE_MM)
