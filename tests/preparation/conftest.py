"""Small studies on disk in every layout: CTs of 24³ voxels that hold two vertebrae."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

LPS = np.array([[-1.5, 0, 0, 20], [0, -1.5, 0, 30], [0, 0, 2, -40], [0, 0, 0, 1.0]])
"""Stored L-P-S, 1.5 × 1.5 × 2 mm."""


def vertebrae(upper: int = 21, lower: int = 20) -> np.ndarray:
    """A mask of two vertebrae, the upper one further along the third axis."""
    mask = np.zeros((24, 24, 24), dtype=np.uint8)
    mask[8:16, 8:18, 13:20] = lower
    mask[8:16, 8:18, 4:10] = upper
    return mask


def hounsfield(seed: int = 0) -> np.ndarray:
    """Fat with bone where the vertebrae are, and noise, in HU."""
    bone = vertebrae() > 0
    return (np.where(bone, 300, -100) + np.random.default_rng(seed).normal(0, 20, bone.shape)).astype(np.int16)


def save(path: Path, array: np.ndarray, affine: np.ndarray = LPS) -> Path:
    """Write an array as NIfTI, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """``put(path, array, affine)`` writes NIfTI."""
    return save


@pytest.fixture(scope="session")
def verse() -> Callable[..., Path]:
    """``verse(folder, name, seed)`` writes a scan as VerSe names it and returns its CT."""

    def write(folder: Path, name: str = "sub-a", seed: int = 0, truth: Any = None) -> Path:
        save(folder / f"{name}_seg-vert_msk.nii.gz", vertebrae())
        if truth is not None:
            save(folder / f"{name}_seg-fracture_msk.nii.gz", truth)
        return save(folder / f"{name}_ct.nii.gz", hounsfield(seed))

    return write


@pytest.fixture(scope="session")
def arrays() -> dict[str, Callable[..., np.ndarray]]:
    """The arrays the scans are made of: ``mask(upper, lower)`` and ``ct(seed)``."""
    return {"mask": vertebrae, "ct": hounsfield}
