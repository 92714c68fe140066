"""Bodies found from masks alone, against given bodies and against the phantom's known shape."""

from pathlib import Path

import numpy as np
import pytest

from fracture_vae.cohort.fracture import find_body, measure
from fracture_vae.cohort.phantom import simulate_spine
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from tests.cohort.fracture.conftest import Scan


def test_the_body_is_the_one_another_program_marked(trunk: Scan, real_data: Path) -> None:
    given = read_volume(real_data / "ct_totalsegmentator" / "spine_vertebrae_body.nii.gz").array == 1
    for number in range(27, 32):  # L5 to L1
        own = trunk.labels == number
        body = trunk.body(number)
        inside = own.copy()
        inside[own] = body.inside(body.frame.to_own(trunk.points()))[own.ravel()]
        there = given & own
        assert 2 * (inside & there).sum() / (inside.sum() + there.sum()) > 0.9


def test_the_phantoms_heights_and_axes_are_found() -> None:
    levels = ("T7", "T8", "L2")
    for level, spine in (("T7", simulate_spine(3, levels[:2])), ("L2", simulate_spine(4, levels[2:]))):
        own = spine.mask == (14 if level == "T7" else 21)
        body = find_body(own, spine.affine, level)
        np.testing.assert_allclose(body.frame.axes.T @ body.frame.axes, np.eye(3), atol=1e-9)
        assert np.linalg.det(body.frame.axes) == pytest.approx(1)
        measured = measure(own, spine.affine, body)
        # rims are round in the mask, most so behind in the small upper bodies, where heights are read
        np.testing.assert_allclose(measured, spine.heights[level], atol=1.3 if level == "L2" else 2.0)
        assert measured.middle == pytest.approx(spine.heights[level].middle, abs=0.6)


def test_a_sliver_has_no_body(trunk: Scan) -> None:
    with pytest.raises(InputError, match=r"^T11: no spinal canal"):
        find_body(trunk.labels == 33, trunk.affine, "T11")
