"""The drift check: silent on draws like the calibration's, loud on others."""

import numpy as np

from fracture_vae.maps.calibration.drift import SURPRISING, drift, patient_means


def draw(rng: np.random.Generator, patients: int, shift: float = 0.0) -> tuple[list[float], list[str]]:
    """Ten cases each, which share most of their patient's deviation."""
    own = rng.normal(shift, 1, patients)
    scores = np.repeat(own, 10) + rng.normal(0, 0.3, 10 * patients)
    return scores.tolist(), [f"p{patient}" for patient in range(patients) for _ in range(10)]


def test_a_patient_counts_once() -> None:
    assert patient_means([1, 3, 10, 5], ["b", "b", "a", "b"]).tolist() == [10, 3]


def test_new_cases_like_the_known_ones_are_seldom_told() -> None:
    rng = np.random.default_rng(0)
    told = [found.surprising for _ in range(300) if (found := drift(*draw(rng, 24), *draw(rng, 8))) is not None]
    assert len(told) == 300
    assert np.mean(told) <= 3 * SURPRISING, "patients' cases being alike does not make it cry"


def test_another_scanner_is_told_with_its_side() -> None:
    rng = np.random.default_rng(1)
    for shift, side in ((3.0, "higher"), (-3.0, "lower")):
        found = drift(*draw(rng, 24), *draw(rng, 8, shift))
        assert found is not None
        assert found.surprising
        assert f"the 8 new patients' normal cases score {side} than the 24 calibrated on" in str(found)


def test_a_handful_of_patients_is_not_compared() -> None:
    rng = np.random.default_rng(2)
    assert drift(*draw(rng, 24), *draw(rng, 3, 9.0)) is None
