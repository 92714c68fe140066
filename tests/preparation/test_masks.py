"""A mask's numbers decide the map only where they can; one file a structure makes one mask."""

import numpy as np
import pytest

from fracture_vae.errors import InputError
from fracture_vae.preparation.masks import read_mask, which_map
from fracture_vae.preparation.scan import Scan


@pytest.mark.parametrize(
    ("numbers", "labels"),
    [
        ([20, 21, 22, 23, 24], "verse"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "verse"),
        ([19, 20, 25, 26, 28], "verse"),  # with L6, sacrum and T13
        ([26, 27, 28], "totalsegmentator"),  # S1, L5, L4; as VerSe's: sacrum, coccyx, T13
        ([25, 26, 27, 28, 29], "totalsegmentator"),
        ([1, 5, 20, 27, 28, 29, 117], "totalsegmentator"),  # with organs
        ([1], None),
        ([1, 2], None),
        ([255], None),
        ([], None),
    ],
)
def test_which_map(numbers, labels):
    assert which_map(numbers).labels == labels


def scan_of(ct, **settings):
    return Scan(patient_id="p", name="p", ct=ct, **settings)


def test_structures_join_with_verses_numbers_and_overlaps_are_told(tmp_path, put, arrays):
    mask = arrays["mask"]()
    both = (mask > 0).astype(np.uint8)
    paths = (
        ("L1", put(tmp_path / "vertebrae_L1.nii.gz", (mask == 20).astype(np.uint8))),
        ("L2", put(tmp_path / "vertebrae_L2.nii.gz", both)),
    )
    read = read_mask(scan_of(tmp_path / "ct.nii.gz", structures=paths))
    assert read.labels == "verse"
    assert {number: int((read.volume.array == number).sum()) for number in (20, 21)} == {20: 560, 21: 480}
    assert read.decided[1].startswith("560 voxels lie in two structures")


def test_a_structure_on_another_grid_is_refused(tmp_path, put, arrays):
    mask = arrays["mask"]()
    paths = (
        ("L1", put(tmp_path / "vertebrae_L1.nii.gz", mask)),
        ("L2", put(tmp_path / "vertebrae_L2.nii.gz", mask[:-1])),
    )
    with pytest.raises(InputError, match=r"vertebrae_L2\.nii\.gz: lies on another grid than vertebrae_L1\.nii\.gz"):
        read_mask(scan_of(tmp_path / "ct.nii.gz", structures=paths))


def test_a_binary_mask_is_refused_unless_the_map_is_named(tmp_path, put, arrays):
    path = put(tmp_path / "m.nii.gz", (arrays["mask"]() > 0).astype(np.uint8))
    with pytest.raises(InputError, match=r"m\.nii\.gz: numbers 1 tell no vertebrae apart; .*--labels"):
        read_mask(scan_of(tmp_path / "ct.nii.gz", mask=path))
    assert read_mask(scan_of(tmp_path / "ct.nii.gz", mask=path, labels="verse")).labels == "verse"
