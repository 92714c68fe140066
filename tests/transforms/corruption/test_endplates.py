"""Endplates found in an image alone, against those of the vertebra's mask, and against a body that was drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.fracture import find_body
from fracture_vae.cohort.phantom import simulate_spine
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.transforms.corruption.endplates import MIDDLE, find_endplates

TOLERANCE = 4.0
"""mm that each endplate may lie off in the middle of the body; scans of 2 and 3 mm slices are among the real ones."""
SCANS = (
    ("ct_verse014", "sub-verse014_ct", "sub-verse014_seg-vert_msk", "verse"),
    ("ct_totalsegmentator", "example_ct", "spine_totalseg", "totalsegmentator"),
)
SIZE = 96


def heights_of_mask(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> tuple[float, float]:
    """Return where the mask's lower and upper endplate lie over the middle that is expected, in voxels along z."""
    body = find_body(mask, affine, "mask")
    columns = np.argwhere(body.footprint)
    places = columns + np.array(body.corner)
    near = np.hypot(*places.T) <= 9
    found = []
    for field in (body.bottom, body.top):
        own = np.column_stack([places, field[tuple(columns.T)]])[near].T
        x, y, z = np.linalg.inv(affine)[:3] @ np.vstack([body.frame.to_world(own), np.ones(near.sum())])
        plane = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x, y]), z, rcond=None)[0]
        found.append(plane @ [1, *(share * (n - 1) for share, n in zip(MIDDLE[:2], mask.shape, strict=False))])
    return found[0], found[1]


def found_in(image: NDArray[np.float32]) -> NDArray[np.float64]:
    plates = find_endplates(torch.from_numpy(image)[None, None])
    return np.array([plates.lower.item(), plates.upper.item()])


@pytest.mark.parametrize(("scan", "size", "spacing"), [(SCANS[0], 128, 1.0), (SCANS[1], 128, 1.0), (SCANS[0], 64, 2.0)])
def test_those_of_real_vertebrae_are_found(
    real_data: Path, tmp_path: Path, scan: tuple[str, ...], size: int, spacing: float
) -> None:
    folder, ct, mask, labels = scan
    files = [real_data / folder / f"{name}.nii.gz" for name in (ct, mask)]
    written = crop_vertebrae(*files, tmp_path, labels=labels, size=(size, size, size), spacing=spacing)
    cases = [case for case in written if case.level != "T11"]
    assert len(cases) >= 5, "all but T11, of which the scan holds a few voxels of its arch"
    for case in cases:
        own = read_volume(case.vertebra_mask)
        off = (found_in(read_volume(case.image).array) - heights_of_mask(own.array > 0, own.affine)) * spacing
        assert np.abs(off).max() < TOLERANCE, f"{case.level}: {off.round(1)} mm off"


def test_those_of_the_synthetic_spine_are_found() -> None:
    spine = simulate_spine(3, ("T12", "L1", "L2"))
    number = 20  # L1, which has both neighbours
    middle = np.argwhere(spine.mask == number).mean(axis=0).round().astype(int)
    low = middle - 64
    pads = [(max(-start, 0), max(start + 128 - n, 0)) for start, n in zip(low, spine.mask.shape, strict=True)]
    cut = tuple(slice(start + before, start + before + 128) for start, (before, _) in zip(low, pads, strict=True))
    image, mask = (np.pad(array, pads)[cut] for array in (np.clip(spine.ct / 1900, 0, 1), spine.mask == number))
    off = found_in(image.astype(np.float32)) - heights_of_mask(mask, np.eye(4))
    assert np.abs(off).max() < TOLERANCE


def tilted(slope: float, wedge: float) -> tuple[Tensor, float, float]:
    """Bodies 22 voxels high and discs of 6 of the body, tilted by ``slope``; the endplates diverge by ``wedge``.

    Behind them an arch that is as bright as endplates. Returns the image and where the endplates lie in the middle.
    """
    y = torch.arange(SIZE)[:, None] - MIDDLE[1] * (SIZE - 1)
    z = torch.arange(SIZE) - MIDDLE[2] * (SIZE - 1) - slope * y
    near, bodies = (1 + wedge * y / 22).clamp(0.6, 1.4), torch.full((SIZE, SIZE), 0.05)
    for number in (-2, -1, 0, 1, 2):
        lower, upper = (number * 28 - 11) * near, (number * 28 + 11) * near
        bodies = torch.where((z > lower) & (z < upper), 0.12, bodies)
        bodies = torch.where(torch.minimum((z - lower).abs(), (z - upper).abs()) < 1, 0.4, bodies)
    bodies = torch.where(y < -14, torch.where((z - 4).abs() < 6, 0.4, 0.03), bodies)
    middle = MIDDLE[2] * (SIZE - 1)
    return bodies.expand(1, 1, SIZE, SIZE, SIZE), middle - 11, middle + 11


@pytest.mark.parametrize("slope", [-0.6, -0.3, 0.0, 0.3])
@pytest.mark.parametrize("wedge", [0.0, 0.2])
def test_those_of_a_tilted_body_before_its_arch_are_found(slope: float, wedge: float) -> None:
    image, lower, upper = tilted(slope, wedge)
    noise = 0.03 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    plates = find_endplates((image + noise).clamp(0, 1))
    assert plates.lower.item() == pytest.approx(lower, abs=2)
    assert plates.upper.item() == pytest.approx(upper, abs=2)
    assert plates.slope.item() == pytest.approx(slope, abs=0.15)
