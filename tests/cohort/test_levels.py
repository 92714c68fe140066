"""Mask numbers get the right level's name, by VerSe, TotalSegmentator or a file."""

import json

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.levels import ANATOMICAL, TOTALSEGMENTATOR, VERSE, choose, in_order, label_map, parse_levels
from fracture_vae.errors import InputError


@pytest.mark.parametrize(
    ("levels", "number", "name"),
    [
        (VERSE, 1, "C1"), (VERSE, 7, "C7"), (VERSE, 8, "T1"), (VERSE, 19, "T12"), (VERSE, 20, "L1"), (VERSE, 25, "L6"),
        (VERSE, 28, "T13"), (TOTALSEGMENTATOR, 25, "sacrum"), (TOTALSEGMENTATOR, 26, "S1"),
        (TOTALSEGMENTATOR, 27, "L5"), (TOTALSEGMENTATOR, 31, "L1"), (TOTALSEGMENTATOR, 32, "T12"),
        (TOTALSEGMENTATOR, 43, "T1"),
        (TOTALSEGMENTATOR, 44, "C7"), (TOTALSEGMENTATOR, 50, "C1"),
    ],
)  # fmt: skip
def test_published_numbers(levels, number, name):
    assert levels[number] == name


def test_verse_names_agree_with_the_centroids_published_beside_the_scan(real_data):
    """The centroid file lists L1–L5 as 20–24 at voxels of the stored grid; the mask's own centroids lie there."""
    folder = real_data / "ct_verse014"
    mask = np.asarray(nib.load(folder / "sub-verse014_seg-vert_msk.nii.gz").dataobj)
    published = json.loads((folder / "sub-verse014_seg-vb_ctd.json").read_text())[1:]
    assert [VERSE[entry["label"]] for entry in published] == ["L1", "L2", "L3", "L4", "L5"]
    for entry in published:  # of the body, so within the vertebra and in front of (at smaller P than) its centroid
        voxel = np.array([entry["X"], entry["Y"], entry["Z"]])
        assert mask[tuple(np.rint(voxel).astype(int))] == entry["label"]


def test_choice_leaves_the_sacrum_out_and_runs_from_head_to_foot():
    assert choose([25, 26, 27, 31, 33], "totalsegmentator", None, "m") == {"T11": 33, "L1": 31, "L5": 27}
    assert choose([26, 27], "totalsegmentator", ["S1"], "m") == {"S1": 26}
    assert list(choose([20, 28, 19], "verse", None, "m")) == ["T12", "T13", "L1"]


def test_a_wanted_level_the_mask_lacks_is_passed_over():
    assert choose([20, 21], "verse", parse_levels("T12-L1"), "m") == {"L1": 20}


def test_organs_of_totalsegmentator_are_passed_over():
    assert choose([1, 5, 29, 90], "totalsegmentator", None, "m") == {"L3": 29}


@pytest.mark.parametrize(
    ("present", "labels", "wanted", "said"),
    [
        ([], "verse", None, "the mask is empty"),
        ([29, 30, 31], "verse", None, "name the map, as 'totalsegmentator'"),
        ([20, 21], "totalsegmentator", None, "is the map verse"),
        ([20], "verse", ["L8"], "did you mean"),
        ([20], "verse", ["T4"], "none of the labels 20"),
        ([20], "vers", None, "did you mean 'verse'"),
    ],
)
def test_a_choice_that_cannot_be_is_told(present, labels, wanted, said):
    with pytest.raises(InputError, match=said):
        choose(present, labels, wanted, "mask.nii.gz")


def test_a_map_from_a_file(tmp_path):
    (tmp_path / "map.csv").write_text("label;level\n3;L1\n4;L2\n")
    (tmp_path / "map.json").write_text('{"3": "L1", "4": "L2"}')
    assert label_map(tmp_path / "map.csv") == label_map(str(tmp_path / "map.json")) == {3: "L1", 4: "L2"}


@pytest.mark.parametrize(
    "content", ["{}", "[1]", "no", '{"0": "L1"}', '{"a": "L1"}', '{"1": "L1", "2": "L1"}', '{"1": "a/b"}']
)
def test_a_broken_map_file_is_told_by_name(tmp_path, content):
    (tmp_path / "map.json").write_text(content)
    with pytest.raises(InputError, match=r"map\.json"):
        label_map(tmp_path / "map.json")


def test_ranges_of_levels():
    assert parse_levels("T12-L2") == ("T12", "T13", "L1", "L2")
    assert parse_levels(" T4 , L5-L5,T4") == ("T4", "L5")
    with pytest.raises(InputError, match="upper level first"):
        parse_levels("L5-T4")
    with pytest.raises(InputError, match="no level"):
        parse_levels("T4-L9")


def test_order_is_anatomical():
    assert in_order(["L1", "x", "C2", "T13", "S1", "T12"]) == ["C2", "T12", "T13", "L1", "S1", "x"]
    assert len(set(ANATOMICAL)) == 7 + 13 + 6 + 3
