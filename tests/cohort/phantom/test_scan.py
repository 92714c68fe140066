"""What a scanner does to what was drawn, on flat images, edges and single planes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fracture_vae.cohort.phantom.grid import Grid
from fracture_vae.cohort.phantom.scan import REACH, scan
from fracture_vae.cohort.phantom.scanner import Scanner, draw_scanner
from fracture_vae.cohort.phantom.streams import stream

PLAIN = Scanner(120, 400.0, "soft", 0.6, edge=0.0, thickness=1.0, increment=1.0, noise=0.0)
GRID = Grid((-20, -20, -17), (40, 40, 40), 1.0)


def flat(grid: Grid, value: float = 0.0) -> np.ndarray:
    return np.full(grid.shape, value, np.float32)


@pytest.mark.parametrize("kernel", [{"blur": 0.7}, {"blur": 0.35, "edge": 1.0}])
@pytest.mark.parametrize(("thickness", "increment"), [(0.6, 1.0), (1.0, 1.0), (3.0, 2.1)])
def test_noise_has_the_stated_strength_and_less_in_thicker_slices(
    kernel: dict[str, float], thickness: float, increment: float
) -> None:
    scanner = replace(PLAIN, noise=30.0, thickness=thickness, increment=increment, **kernel)
    seen = scan(flat(GRID), GRID, scanner, seed=3)
    assert abs(seen.mean()) < 1
    on_slices = [k for k in range(40) if ((k + GRID.start[2]) / increment) % 1 == 0]
    expected = 30 / np.sqrt(max(thickness, 1.0))
    assert seen[:, :, on_slices].std() == pytest.approx(expected, rel=0.04)


def test_what_is_even_stays_as_it_is() -> None:
    for scanner in (PLAIN, replace(PLAIN, thickness=3.0, increment=3.0), replace(PLAIN, edge=1.2)):
        seen = scan(flat(GRID, 170.0), GRID, scanner, 0)
        np.testing.assert_allclose(seen[:, :, int(REACH) : -int(REACH)], 170, rtol=1e-5)


@pytest.mark.parametrize(("thickness", "increment"), [(1.0, 1.0), (2.0, 1.4), (3.0, 3.0)])
def test_a_thin_plane_shows_as_thick_as_the_slices_and_loses_nothing(thickness: float, increment: float) -> None:
    drawn = flat(GRID)
    drawn[:, :, 17] = 1000  # at z = 0, where every increment has a slice
    line = scan(drawn, GRID, replace(PLAIN, thickness=thickness, increment=increment), 0)[20, 20]
    half = np.flatnonzero(line > line.max() / 2)
    assert thickness <= len(half) + 1 <= thickness + increment + 2
    assert line.max() < 1050 / thickness
    if increment == 1.0:
        assert line.sum() == pytest.approx(1000, rel=1e-3)


def test_only_edge_enhancement_overshoots() -> None:
    drawn = flat(GRID)
    drawn[20:] = 500
    for edge, low, high in ((0.0, -0.1, 500.1), (1.0, -200, 700)):
        seen = scan(drawn, GRID, replace(PLAIN, edge=edge, blur=0.4), 0)
        assert (seen.min() < -20) == (edge > 0)
        assert (seen.max() > 520) == (edge > 0)
        assert low < seen.min()
        assert seen.max() < high


@pytest.mark.parametrize(
    "scanner", [replace(PLAIN, noise=20.0), replace(PLAIN, noise=20.0, thickness=3.0, increment=2.1)]
)
def test_a_window_shows_what_the_whole_shows(scanner: Scanner) -> None:
    drawn = np.random.default_rng(0).normal(0, 300, GRID.shape).astype(np.float32)
    whole = scan(drawn, GRID, scanner, 5)
    window = Grid((-20, -20, -10), (40, 40, 28), 1.0)
    part = scan(np.ascontiguousarray(drawn[:, :, 7:35]), window, scanner, 5)
    reach = int(REACH)
    np.testing.assert_array_equal(part[:, :, reach:-reach], whole[:, :, 7 + reach : 35 - reach])
    assert not np.array_equal(scan(drawn, GRID, scanner, 6), whole), "another patient, other noise"


def test_scanners_differ_as_clinical_ones_do() -> None:
    scanners = [draw_scanner(stream(seed, "patient")) for seed in range(300)]
    assert set(Counter(scanner.kernel for scanner in scanners)) == {"soft", "standard", "sharp"}
    assert {scanner.kilovolts for scanner in scanners} == {80, 100, 120, 140}
    thickness = np.array([scanner.thickness for scanner in scanners])
    assert (thickness.min(), thickness.max()) == (0.6, 3.0)
    assert 0.15 < (thickness >= 2).mean() < 0.35
    noise = np.array([scanner.noise for scanner in scanners])
    assert np.percentile(noise, 5) < 15
    assert np.percentile(noise, 95) > 45
    assert all(scanner.edge == 0 for scanner in scanners if scanner.kernel == "soft")
    assert min(scanner.edge for scanner in scanners if scanner.kernel == "sharp") >= 0.5
    assert all(scanner.increment >= 1 for scanner in scanners)
