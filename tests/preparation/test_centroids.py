"""Published centroids land in their vertebra's body, whatever axes and unit the file counts in."""

import json

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.preparation.centroids import inside, read_centroids

LEVELS = {"L1": 20, "L2": 21, "L3": 22, "L4": 23, "L5": 24}


def test_real_centroids_lie_in_their_vertebrae(real_data):
    folder = real_data / "ct_verse014"
    mask = read_volume(folder / "sub-verse014_seg-vert_msk.nii.gz")
    found = read_centroids(folder / "sub-verse014_seg-vb_ctd.json", mask, LEVELS)
    assert list(found) == list(LEVELS)
    assert all(inside(found[level], mask, number) for level, number in LEVELS.items())
    heights = [z for _, _, z in found.values()]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("direction", [None, "LPS", "RAS", "PIR", "SLA"])
@pytest.mark.parametrize("unit", ["voxels", "mm"])
def test_any_direction_and_either_unit(tmp_path, put, arrays, direction, unit):
    """The world place of voxel (11, 12, 16) of a file stored L-P-S at 1.5 × 1.5 × 2 mm is (3.5, 12, −8)."""
    path = put(tmp_path / "m.nii.gz", arrays["mask"]())
    image = nib.load(path)
    codes = tuple(direction or "LPS")
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    turned = image.as_reoriented(turn)
    voxel = np.linalg.inv(turned.affine) @ [3.5, 12, -8, 1]
    step = nib.affines.voxel_sizes(turned.affine) if unit == "mm" else np.ones(3)
    x, y, z = (voxel[:3] * step).tolist()
    entries = [{"label": 20, "X": x, "Y": y, "Z": z}]
    if direction:
        entries.insert(0, {"direction": list(direction)})
    (tmp_path / "c.json").write_text(json.dumps(entries))
    found = read_centroids(tmp_path / "c.json", read_volume(path), {"L1": 20, "L2": 21})
    assert found["L1"] == pytest.approx((3.5, 12, -8))


@pytest.mark.parametrize(
    "text", ["", "{}[", '{"a": 1}', '[{"label": 20, "X": 1}]', '[{"direction": ["P", "P", "R"]}]', "[1]"]
)
def test_no_centroid_file_is_told_in_a_line(tmp_path, put, arrays, text):
    (tmp_path / "c.json").write_text(text)
    mask = read_volume(put(tmp_path / "m.nii.gz", arrays["mask"]()))
    with pytest.raises(InputError, match=r"c\.json: not a VerSe centroid file"):
        read_centroids(tmp_path / "c.json", mask, {"L1": 20})
