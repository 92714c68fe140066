"""Every real vertebra, every type and grade: the body's voxels measure the loss that was asked for."""

import numpy as np
import pytest

from fracture_vae.cohort.fracture.heights import measure
from fracture_vae.cohort.fracture.solve import solved
from fracture_vae.cohort.genant import GRADE_LOSS, TYPES
from tests.cohort.fracture.conftest import Scan


@pytest.mark.parametrize(
    ("name", "number"), [*(("verse", n) for n in range(20, 25)), *(("trunk", n) for n in range(27, 32))]
)
def test_heights_match_the_grade(request: pytest.FixtureRequest, name: str, number: int) -> None:
    scan: Scan = request.getfixturevalue(name)
    own = scan.labels == number
    body = scan.body(number)
    before = measure(own, scan.affine, body)
    for kind in TYPES:
        for grade, (low, high) in GRADE_LOSS.items():
            tries = (solved(own, scan.affine, body, drawn, before) for drawn in scan.candidates(number, kind, grade))
            collapse = next(one for one in tries if one is not None)
            losses = 1 - np.array(measure(own, scan.affine, body, collapse.source_of)) / before
            site = TYPES.index(kind)
            assert low <= losses[site] <= high
            if kind != "crush":
                assert np.delete(losses, site).max() < 0.8 * losses[site]
            else:
                assert losses.min() > 0.18
