"""Real vertebrae and phantom vertebrae to break."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from fracture_vae.cohort.fracture import Body, Parameters, Simulation, break_vertebrae, draw_candidates, find_body
from fracture_vae.cohort.genant import Fracture
from fracture_vae.cohort.volumes import read_volume


class Scan(NamedTuple):
    """A CT in RAS order with its vertebra mask."""

    ct: NDArray[np.float32]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]

    def points(self) -> NDArray[np.float64]:
        """World coordinates (3, n) of all voxels."""
        return self.affine[:3, :3] @ np.indices(self.ct.shape).reshape(3, -1) + self.affine[:3, 3:]

    def body(self, number: int) -> Body:
        """The body of a vertebra."""
        return find_body(self.labels == number, self.affine, str(number))

    def broken(self, number: int, kind: str, grade: int, **options: bool) -> Simulation:
        """The scan with one fracture."""
        drawn = self.candidates(number, kind, grade, **options)
        return break_vertebrae(self.ct, self.labels, self.affine, {number: drawn}, {number: str(number)})

    @staticmethod
    def candidates(number: int, kind: str, grade: int, **options: bool) -> tuple[Parameters, ...]:
        """Fractures drawn alike."""
        return draw_candidates(0, number, Fracture(kind, grade), **options)


@lru_cache(maxsize=2)
def _read(ct: Path, mask: Path) -> Scan:
    image, labels = read_volume(ct), read_volume(mask)
    return Scan(image.array, labels.array.astype(np.uint8), image.affine)


@pytest.fixture(scope="session")
def verse(real_data: Path) -> Scan:
    """A lumbar CT at 2×1×1 mm; L1–L5 are 20–24."""
    folder = real_data / "ct_verse014"
    return _read(folder / "sub-verse014_ct.nii.gz", folder / "sub-verse014_seg-vert_msk.nii.gz")


@pytest.fixture(scope="session")
def trunk(real_data: Path) -> Scan:
    """A trunk CT at 3 mm; L5–L1 are 27–31, T12 is cut off."""
    folder = real_data / "ct_totalsegmentator"
    return _read(folder / "example_ct.nii.gz", folder / "spine_totalseg.nii.gz")


@pytest.fixture(scope="session")
def wedged(verse: Scan) -> Simulation:
    """L3 of the lumbar CT as a wedge of grade 2, cortex broken, sclerotic."""
    return verse.broken(22, "wedge", 2, sclerosis=True, cortical_break=True)
