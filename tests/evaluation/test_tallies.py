"""Figures of voxels over resamples of patients."""

import numpy as np

from fracture_vae.evaluation.resampling import Resamples
from fracture_vae.evaluation.tallies import measure_voxels, total
from fracture_vae.evaluation.voxels import tally


def test_a_resample_without_an_anomalous_voxel_has_no_figure_that_needs_one() -> None:
    """Drawn twice, the healthy patient has alarms and nothing to find: that is no Dice of 0."""
    values = np.random.default_rng(0).random((8, 8, 8), np.float32)
    truth = np.zeros(values.shape, bool)
    truth[2:4, 2:4, 2:4] = True
    cases = [tally(values, own, np.ones_like(truth), np.ones(3), 0.5) for own in (truth, ~np.ones_like(truth))]
    draws = Resamples(np.array(["broken", "healthy"]), np.array([[1, 1], [0, 2]]))
    found = measure_voxels(total(cases, np.array([0, 1])), draws)
    assert {"dice@calibrated", "dice@oracle", "voxel_average_precision", "aupro", "froc"} <= set(found)
    for name, figure in found.items():
        assert figure.samples[0] == figure.value, name
        assert np.isnan(figure.samples[1]), name
