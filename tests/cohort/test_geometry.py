"""Resampling puts every point of the world where it belongs, and a crop remembers where it came from."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.geometry import CropGeometry, bounding_box, centred_affine, resample, resample_mask
from fracture_vae.errors import InputError


def tilted(angle: float, spacing: tuple[float, float, float], flips: tuple[int, int, int]) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    affine = np.eye(4)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    affine[:3, :3] = turn @ np.diag(np.multiply(spacing, flips))
    return affine


def geometry(**changes) -> CropGeometry:
    eye = tuple(map(tuple, np.eye(4).tolist()))
    return CropGeometry(
        **({"label": 20, "shape": (4, 4, 4), "affine": eye, "source_shape": (4, 4, 4), "source_affine": eye}
        | {"hu_window": (0.0, 1900.0)} | changes)
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(-0.5, 0.5),
    spacing=st.tuples(*[st.floats(1.0, 3.0)] * 3),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    shift=st.tuples(*[st.floats(-200, 200)] * 3),
)
def test_a_linear_ramp_keeps_its_world_value_on_any_grid(angle, spacing, flips, shift):
    """Linear interpolation is exact on world coordinates themselves, where the crop lies within the source."""
    affine = tilted(angle, spacing, flips)
    affine[:3, 3] = shift
    shape = (14, 12, 13)
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    slope = np.array([1.0, -2.0, 0.5])
    middle = affine[:3, :3] @ (np.array(shape) / 2 - 0.5) + affine[:3, 3]
    target = centred_affine(middle, (5, 5, 5), 1.0)

    got = resample(((world - middle) @ slope).astype(np.float32), affine, target, (5, 5, 5), outside=0)
    steps = np.stack(np.meshgrid(*[np.arange(-2.0, 3.0)] * 3, indexing="ij"), axis=-1)
    np.testing.assert_allclose(got, steps @ slope, atol=1e-3)


def test_the_same_grid_gives_the_same_array_up_to_its_border():
    array = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    affine = tilted(0.3, (0.7, 1.0, 2.0), (-1, 1, 1))
    target = affine @ np.array([[1.0, 0, 0, -1], [0, 1, 0, -2], [0, 0, 1, 0], [0, 0, 0, 1]])
    spacing_kept = resample_mask(array > 0, affine, target, (7, 8, 7))
    np.testing.assert_array_equal(spacing_kept[1:6, 2:8], array > 0)
    assert not spacing_kept[0].any()
    assert not spacing_kept[6].any()
    isotropic = np.diag([1.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(resample(array, isotropic, isotropic, (5, 6, 7), outside=-1), array)


def test_beyond_the_source_is_padding():
    got = resample(
        np.full((4, 4, 4), 5, np.float32), np.eye(4), centred_affine((1.5,) * 3, (8, 8, 8), 1.0), (8,) * 3, outside=0
    )
    assert (got[2:6, 2:6, 2:6] == 5).all()
    assert got.sum() == 5 * 64
    far = resample(
        np.ones((4, 4, 4), np.float32), np.eye(4), centred_affine((99,) * 3, (3,) * 3, 1.0), (3,) * 3, outside=7
    )
    assert (far == 7).all()


def test_half_a_border_voxel_still_belongs_to_the_source():
    array = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32)
    quarter = np.diag([0.5, 1, 1, 1.0])
    quarter[0, 3] = -0.5
    got = resample(array, np.eye(4), quarter, (10, 4, 4), outside=-9)[:, 0, 0]
    np.testing.assert_allclose(got, [0, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3, -9])


def test_halving_resolution_smooths_away_what_it_cannot_hold():
    """A checkerboard, the highest frequency, becomes grey instead of black or white; its mean is kept."""
    checkers = (np.indices((24, 24, 24)).sum(axis=0) % 2).astype(np.float32)
    target = centred_affine((11.5,) * 3, (8, 8, 8), 2.0)
    np.testing.assert_allclose(resample(checkers, np.eye(4), target, (8, 8, 8), outside=0), 0.5, atol=0.02)
    offset = target.copy()
    offset[:3, 3] += 0.5  # now on voxel centres, where mere sampling would see 0 or 1 only
    assert np.ptp(resample(checkers, np.eye(4), offset, (8, 8, 8), outside=0)) < 0.05


def test_smoothing_widens_a_point_as_the_formula_says():
    """FWHM² of the Gaussian is f² − 1 source voxels squared: σ² = 3 / 5.545 for twice the spacing."""
    point = np.zeros((33, 33, 33), np.float32)
    point[16, 16, 16] = 1
    coarse = np.diag([2.0, 2.0, 2.0, 1.0])
    got = resample(point, np.eye(4), coarse, (17, 17, 17), outside=0)
    ratio = got[9, 8, 8] / got[8, 8, 8]
    assert ratio == pytest.approx(np.exp(-(2**2) / 2 * 5.545 / 3), rel=0.02)


def test_the_middle_of_a_centred_grid_is_its_centre():
    affine = centred_affine((10, -20, 30), (4, 5, 6), 2.0)
    np.testing.assert_allclose(affine @ [1.5, 2, 2.5, 1], [10, -20, 30, 1])


def test_a_bounding_box_holds_the_grid_and_stays_inside():
    start, stop = bounding_box(centred_affine((0, 5, 50), (5, 5, 5), 1.0), (5, 5, 5), (10, 10, 10), np.ones(3))
    np.testing.assert_array_equal(start, [0, 2, 10])
    np.testing.assert_array_equal(stop, [4, 9, 10])


NUMBER = st.floats(-1e4, 1e4)


@given(
    affine=st.tuples(*[st.tuples(*[NUMBER] * 4)] * 4).filter(lambda rows: abs(np.linalg.det(rows)) > 1),
    shape=st.tuples(*[st.integers(1, 512)] * 3),
    window=st.tuples(NUMBER, NUMBER),
)
def test_the_json_keeps_every_digit(affine, shape, window):
    crop = geometry(affine=affine, source_affine=affine, shape=shape, source_shape=shape, hu_window=window)
    assert CropGeometry.from_json(crop.to_json(), "row 2") == crop
    assert "\n" not in crop.to_json()


@pytest.mark.parametrize(
    "change", [{"affine": [[1, 0], [0, 1]]}, {"shape": [1, 2]}, {"affine": np.zeros((4, 4)).tolist()}]
)
def test_a_broken_crop_column_is_told(change):
    text = json.dumps(json.loads(geometry().to_json()) | change)
    for broken in (text, "", "{", "[]", "{}"):
        with pytest.raises(InputError, match=r"cohort\.csv: row 4: column 'crop'"):
            CropGeometry.from_json(broken, "cohort.csv: row 4")


def test_the_window():
    crop = geometry()
    hu = np.array([-500.0, 0, 950, 1900, 3000])
    np.testing.assert_allclose(crop.window(hu), [0, 0, 0.5, 1, 1])


def test_inside_the_source_is_what_is_not_padding():
    affine = tuple(map(tuple, centred_affine((1.5,) * 3, (8, 8, 8), 1.0).tolist()))
    inside = geometry(shape=(8, 8, 8), affine=affine).inside_source()
    assert inside.sum() == 64
    assert inside[2:6, 2:6, 2:6].all()
