import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fracture_vae.errors import InputError
from fracture_vae.transforms import Preprocessing, multiple_of, pad_to
from fracture_vae.transforms.padding import centred


def test_the_hu_window_maps_its_ends_to_zero_and_one_and_clips():
    hu = np.array([-1000, 0, 950, 1900, 3000], dtype=np.float32)
    np.testing.assert_allclose(Preprocessing("hu_window")(hu, "x"), [0, 0, 0.5, 1, 1])


def test_percentile_uses_the_volumes_own_spread():
    values = np.arange(101, dtype=np.float32) * 1000
    out = Preprocessing("percentile", percentiles=(10, 90))(values, "x")
    np.testing.assert_allclose(out[[0, 10, 50, 90, 100]], [0, 0, 0.5, 1, 1], atol=1e-6)


def test_none_takes_unit_values_and_refuses_hounsfield_units():
    unit = np.array([0, 0.25, 1], dtype=np.float32)
    np.testing.assert_array_equal(Preprocessing("none")(unit, "a.nii.gz"), unit)
    with pytest.raises(InputError, match=r"a\.nii\.gz.*hu_window"):
        Preprocessing("none")(np.array([-1000.0, 400.0], dtype=np.float32), "a.nii.gz")


def test_a_normalised_volume_is_not_windowed_twice():
    with pytest.raises(InputError, match="set intensity to none"):
        Preprocessing("hu_window")(np.array([0, 0.5, 1], dtype=np.float32), "a.npy")


def test_percentiles_without_spread_are_refused():
    with pytest.raises(InputError, match=r"a\.npy: percentiles"):
        Preprocessing("percentile")(np.array([0.0] * 1000 + [5.0], dtype=np.float32), "a.npy")


@pytest.mark.parametrize("options", [{"intensity": "windw"}, {"hu_window": (5, 5)}, {"percentiles": (99, 1)}])
def test_impossible_settings_fail_in_the_constructor(options):
    with pytest.raises(InputError):
        Preprocessing(**options)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.floats(0, 1, width=32)))
def test_padding_to_a_multiple_and_cutting_back_is_the_identity(array):
    shape = multiple_of(array.shape, 16)
    padded = pad_to(array, shape)
    assert padded.shape == shape
    assert all(size % 16 == 0 for size in shape)
    assert np.count_nonzero(padded) == np.count_nonzero(array)
    np.testing.assert_array_equal(padded[centred(array.shape, padded.shape)], array)
