"""What a CT and its masks must be before anything is cut from them."""

import numpy as np

from fracture_vae.cohort.hounsfield import check_hu
from fracture_vae.cohort.volumes import Volume
from fracture_vae.errors import InputError

_HIGHEST_LABEL = 65_535  # what 16 bits hold
_GRID_TOLERANCE = 1e-3  # of an affine's entries, as masks written by other programs differ in float32


def check_volumes(ct: Volume, mask: Volume, truth: Volume | None, hu_window: tuple[float, float]) -> None:
    """Refuse a mask or truth on another grid, and a CT not in HU.

    Raises:
        InputError: as said.
    """
    for other in (mask, truth):
        if other is not None:
            check_same_grid(ct, other)
    low, high = hu_window
    if ct.array.max() < low + 0.05 * (high - low):
        raise InputError(
            f"{ct.stored.path}: its brightest voxel is {ct.array.max():g}; give a CT in HU, not a rescaled image"
        )
    check_hu(ct.array, str(ct.stored.path))


def label_numbers(mask: Volume) -> list[int]:
    """Return the numbers in a mask, without 0.

    Raises:
        InputError: values that are no labels.
    """
    array = mask.array
    if array.min() < 0 or array.max() > _HIGHEST_LABEL or any((plane != np.rint(plane)).any() for plane in array):
        raise InputError(f"{mask.stored.path}: holds values that are no labels; give whole numbers from 0, one a level")
    found = np.zeros(_HIGHEST_LABEL + 1, dtype=bool)
    for plane in array:  # counting plane by plane spares sorting the whole mask
        found[np.flatnonzero(np.bincount(plane.astype(np.intp).ravel()))] = True
    return [int(number) for number in np.flatnonzero(found) if number]


def check_same_grid(ct: Volume, mask: Volume) -> None:
    """Refuse a mask on another grid than its CT's.

    Raises:
        InputError: as said, with what differs.
    """
    same_shape = ct.array.shape == mask.array.shape
    if not same_shape or np.abs(ct.affine - mask.affine).max() > _GRID_TOLERANCE:
        what = "affine" if same_shape else f"size {mask.stored.shape}, not {ct.stored.shape}"
        raise InputError(
            f"{mask.stored.path}: mask on another grid than {ct.stored.path} ({what}); resample it onto the CT"
        )
