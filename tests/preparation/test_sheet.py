"""The picture of a spine: its size in millimetres, its sides, its colours."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray

from fracture_vae.cohort.volumes import Volume, read_volume, write_nifti
from fracture_vae.preparation.finding import Finding
from fracture_vae.preparation.sheet import AFFECTED, PIXELS_PER_MM, PLAIN, _planes, draw_sheet
from fracture_vae.preparation.vertebra import measure

LEVELS = {"L1": 20, "L2": 21}
SPACING = (2.0, 1.0, 4.0)


@pytest.fixture
def scan(tmp_path: Path) -> tuple[Volume, Volume]:
    """Two bodies of 40 × 30 × 28 mm, the lower one 20 mm to the right, in a scan of 100 × 100 × 160 mm.

    A bright rod stands on the right of the upper body and a brighter one in front of it.
    """
    ct = np.full((50, 100, 40), -100, np.float32)
    mask = np.zeros_like(ct)
    for number, i, k in ((20, 10, 24), (21, 20, 9)):
        mask[i : i + 20, 35:65, k : k + 7] = number
    ct[mask > 0] = 300
    ct[34:36, 54:58, 24:31] = 700
    ct[19:22, 75:78, 24:31] = 900
    affine = np.diag([*SPACING, 1.0])
    for name, array in (("ct", ct), ("mask", mask)):
        write_nifti(tmp_path / f"{name}.nii", array, affine, descrip="", cal_max=1)
    return read_volume(tmp_path / "ct.nii"), read_volume(tmp_path / "mask.nii")


def extent(inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Height and width in mm of what is True in a plane."""
    rows, columns = np.nonzero(inside)
    return float(np.ptp(rows) / PIXELS_PER_MM), float(np.ptp(columns) / PIXELS_PER_MM)


def test_planes_are_to_scale_whatever_the_voxels(scan: tuple[Volume, Volume]) -> None:
    ct, mask = scan
    sagittal, coronal = _planes(ct, measure(mask, LEVELS))
    for level in LEVELS:
        assert extent(sagittal.outlines[level] > 0.5) == pytest.approx((28, 30), abs=1)
        assert extent(coronal.outlines[level] > 0.5) == pytest.approx((28, 40), abs=1)


def test_the_sagittal_plane_follows_a_spine_that_leans(scan: tuple[Volume, Volume]) -> None:
    ct, mask = scan
    sagittal, _ = _planes(ct, measure(mask, LEVELS))
    for level in LEVELS:
        row, _ = sagittal.middle[level]
        inside = np.flatnonzero(sagittal.outlines[level][int(row)] > 0.5)
        assert np.nanmin(sagittal.image[int(row), inside[5] : inside[-5]]) == 300


def test_head_is_up_front_and_right_are_on_the_left(scan: tuple[Volume, Volume]) -> None:
    ct, mask = scan
    sagittal, coronal = _planes(ct, measure(mask, LEVELS))
    for plane, rod in ((sagittal, 900), (coronal, 700)):
        assert plane.middle["L1"][0] < plane.middle["L2"][0]
        rows, columns = np.nonzero(np.nan_to_num(plane.image) > rod - 50)
        assert columns.max() < plane.middle["L1"][1]
        assert rows.mean() == pytest.approx(plane.middle["L1"][0], abs=6)


def test_a_vertebra_with_a_finding_has_another_colour(scan: tuple[Volume, Volume], tmp_path: Path) -> None:
    ct, mask = scan
    draw_sheet(tmp_path / "plain.png", "$odd_title$ <b>", ct, mask, LEVELS, [])
    draw_sheet(tmp_path / "found.png", "scan", ct, mask, LEVELS, [Finding("p", "s", "L2", "metal", "")])

    def rows(name: str, colour: str) -> NDArray[np.intp]:
        picture = imread(tmp_path / name)[..., :3]
        return np.flatnonzero((np.abs(picture - to_rgb(colour)).max(axis=2) < 0.1).any(axis=1))

    assert len(rows("plain.png", AFFECTED)) == 0
    assert len(rows("plain.png", PLAIN)) == pytest.approx(2 * 28 * PIXELS_PER_MM, abs=4)
    assert rows("found.png", AFFECTED).min() > rows("found.png", PLAIN).max(), "L2 lies below L1"
    assert len(rows("found.png", AFFECTED)) >= 28 * PIXELS_PER_MM


def test_the_picture_shows_150_mm_and_the_margins(scan: tuple[Volume, Volume], tmp_path: Path) -> None:
    ct, mask = scan
    draw_sheet(tmp_path / "sheet.png", "scan", ct, mask, LEVELS, [])
    height, width = imread(tmp_path / "sheet.png").shape[:2]
    assert height - 44 == pytest.approx(150 * PIXELS_PER_MM, rel=0.05)
    across, along = 60 - 2 + 70, 30 - 1 + 70  # mm between the outermost voxels' centres, and 35 mm on either side
    assert width - 12 == pytest.approx((across + along) * PIXELS_PER_MM, abs=4)
