"""A CT not in HU is refused; real CTs pass, whole and cut to a vertebra."""

import numpy as np
import pytest

from fracture_vae.cohort.hounsfield import check_hu
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError

SCANS = [
    ("ct_verse014/sub-verse014_ct.nii.gz", "ct_verse014/sub-verse014_seg-vert_msk.nii.gz"),
    ("ct_totalsegmentator/example_ct.nii.gz", "ct_totalsegmentator/spine_totalseg.nii.gz"),
]


def parts(real_data, ct, mask):
    """A real CT whole and cut to each vertebra (without air), each as it is and clipped at 0."""
    image, numbers = read_volume(real_data / ct).array, read_volume(real_data / mask).array
    cut = [image]
    for number in np.unique(numbers)[1:]:
        where = np.argwhere(numbers == number)
        cut.append(image[tuple(map(slice, where.min(axis=0), where.max(axis=0) + 1))])
    return cut


@pytest.mark.parametrize(("ct", "mask"), SCANS)
def test_real_cts_pass_whole_and_cut_to_bone(real_data, ct, mask):
    for part in parts(real_data, ct, mask):
        check_hu(part, "ct")
        check_hu(part.clip(0, 1900), "ct")


@pytest.mark.parametrize(("ct", "mask"), SCANS)
def test_the_same_with_1024_added_is_refused(real_data, ct, mask):
    for part in parts(real_data, ct, mask):
        for spoilt in (part + 1024, (part + 1024).clip(0, None)):
            with pytest.raises(InputError, match="soft tissue lies near 1024"):
                check_hu(spoilt, "ct")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0, 255, "an 8-bit picture's"), (0, 1.7e6, "no tissue or metal is above 40000"), (600, 1200, "near 1024")],
)
def test_what_is_no_ct_is_told_in_a_line(low, high, said):
    with pytest.raises(InputError, match=said) as caught:
        check_hu(np.linspace(low, high, 1000, dtype=np.float32).reshape(10, 10, 10), "some.nii.gz")
    assert str(caught.value).startswith("some.nii.gz: its values")
    assert "\n" not in str(caught.value)
