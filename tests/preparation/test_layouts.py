"""Scans are found in every layout, side by side, and what cannot be used is told with what to do."""

from pathlib import Path

import numpy as np
import pytest

from fracture_vae.errors import InputError
from fracture_vae.preparation.layouts import find_scans


def names(found):
    return sorted(scan.name for scan in found.scans)


def test_verse_with_derivatives_sessions_centroids_and_truth(tmp_path, put, arrays):
    raw, derived = tmp_path / "rawdata" / "sub-x", tmp_path / "derivatives" / "sub-x"
    for session in ("ses-1", "ses-2_split-a"):
        put(raw / f"sub-x_{session}_ct.nii.gz", arrays["ct"]())
        put(derived / f"sub-x_{session}_seg-vert_msk.nii.gz", arrays["mask"]())
    put(derived / "sub-x_ses-1_seg-fracture_msk.nii.gz", arrays["mask"]())
    (derived / "sub-x_ses-1_seg-subreg_ctd.json").write_text("[]")
    put(raw / "sub-x_ses-1_displacement.nii.gz", arrays["ct"]())  # what else is called after the scan is no CT
    found = find_scans(tmp_path)
    assert (found.failed, found.passed) == ({}, {})
    first, second = sorted(found.scans, key=lambda scan: scan.name)
    assert (first.name, first.patient_id, second.patient_id) == ("sub-x_ses-1_ct", "sub-x", "sub-x")
    assert first.mask == derived / "sub-x_ses-1_seg-vert_msk.nii.gz"
    assert second.mask == derived / "sub-x_ses-2_split-a_seg-vert_msk.nii.gz"
    assert first.truth.name == "sub-x_ses-1_seg-fracture_msk.nii.gz"
    assert first.centroids.name == "sub-x_ses-1_seg-subreg_ctd.json"
    assert (second.truth, second.centroids) == (None, None)


def test_one_name_in_two_folders_gets_the_folders(tmp_path, verse):
    """Each with the mask beside it; one BIDS patient stays one patient."""
    for folder in ("ses 1", "ses 2"):
        verse(tmp_path / folder, "sub-x")
    found = find_scans(tmp_path)
    assert names(found) == ["ses_1_sub-x_ct", "ses_2_sub-x_ct"]
    assert {scan.patient_id for scan in found.scans} == {"sub-x"}
    assert all(scan.mask.parent == scan.ct.parent for scan in found.scans)


def test_plain_names_of_two_sites_are_two_patients(tmp_path, put, arrays):
    for site in ("north", "south"):
        put(tmp_path / site / "ct" / "001.nii.gz", arrays["ct"]())
        put(tmp_path / site / "mask" / "001.nii.gz", arrays["mask"]())
    found = find_scans(tmp_path)
    assert names(found) == ["north_ct_001", "south_ct_001"]
    assert sorted(scan.patient_id for scan in found.scans) == ["north_ct_001", "south_ct_001"]


def test_names_that_become_one_are_refused(tmp_path, put, arrays):
    for name in ("a b", "a_b"):
        put(tmp_path / "ct" / f"{name}.nii.gz", arrays["ct"]())
        put(tmp_path / "mask" / f"{name}.nii.gz", arrays["mask"]())
    found = find_scans(tmp_path)
    assert found.scans == ()
    assert set(found.failed.values()) == {"another scan would have the same case names; rename one"}


@pytest.mark.parametrize("suffix", ["", "_mask", "_seg", "-label", "_ct_mask"])
def test_pairs_of_folders_with_a_truth(tmp_path, put, arrays, suffix):
    put(tmp_path / "images" / "Björn 1_ct.nii.gz", arrays["ct"]())
    put(tmp_path / "labels" / f"Björn 1{suffix}.nii.gz", arrays["mask"]())
    put(tmp_path / "truth" / "Björn 1_truth.nii", arrays["mask"]())
    (scan,) = find_scans(tmp_path).scans
    assert (scan.name, scan.patient_id) == ("Björn_1_ct", "Björn 1_ct")
    assert (scan.mask.parent.name, scan.truth.name) == ("labels", "Björn 1_truth.nii")


def test_a_ct_without_mask_and_a_ct_with_two_fail_alone(tmp_path, put, arrays):
    for name in ("one", "two", "three"):
        put(tmp_path / "ct" / f"{name}.nii.gz", arrays["ct"]())
    for name in ("one", "two", "two_seg"):
        put(tmp_path / "masks" / f"{name}.nii.gz", arrays["mask"]())
    found = find_scans(tmp_path)
    assert names(found) == ["one"]
    two, three = (found.failed[str(tmp_path / "ct" / f"{name}.nii.gz")] for name in ("two", "three"))
    assert two == f"2 masks ({Path('masks', 'two.nii.gz')}, {Path('masks', 'two_seg.nii.gz')}); keep one"
    assert three == f"no mask; put three.nii.gz into {tmp_path / 'masks'}"


def test_a_verse_ct_without_mask_says_which_file_it_wants(tmp_path, verse):
    verse(tmp_path, "sub-a")
    lone = verse(tmp_path / "b", "sub-b")
    (tmp_path / "b" / "sub-b_seg-vert_msk.nii.gz").unlink()
    found = find_scans(tmp_path)
    assert names(found) == ["sub-a_ct"]
    assert found.failed[str(lone)].startswith("no vertebra mask; put sub-b_seg-vert_msk.nii.gz beside it")


def test_a_folder_of_structures_beside_or_below_its_ct(tmp_path, put, arrays):
    mask = arrays["mask"]()
    for name in ("s01", "s02"):
        put(tmp_path / name / "ct.nii.gz", arrays["ct"]())
        put(tmp_path / name / "segmentations" / "vertebrae_L1.nii.gz", (mask == 20).astype(np.uint8))
        put(tmp_path / name / "segmentations" / "vertebrae_L2.nii.gz", (mask == 21).astype(np.uint8))
        put(tmp_path / name / "segmentations" / "liver.nii.gz", (mask == 9).astype(np.uint8))
    put(tmp_path / "s03.nii.gz", arrays["ct"]())
    put(tmp_path / "s03" / "vertebrae_T4.nii.gz", (mask == 20).astype(np.uint8))
    put(tmp_path / "s03" / "sacrum.nii.gz", (mask == 21).astype(np.uint8))
    found = find_scans(tmp_path)
    assert {scan.name: [level for level, _ in scan.structures] for scan in found.scans} == {
        "s01": ["L1", "L2"],
        "s02": ["L1", "L2"],
        "s03": ["T4", "sacrum"],
    }
    assert {scan.patient_id for scan in found.scans} == {"s01", "s02", "s03"}


def test_cts_and_masks_side_by_side_in_one_folder(tmp_path, put, arrays):
    for name in ("v1", "v2", "v3"):
        put(tmp_path / f"{name}.nii.gz", arrays["ct"]())
    put(tmp_path / "v1_seg.nii.gz", arrays["mask"]())
    put(tmp_path / "v1_fracture.nii.gz", arrays["mask"]())
    put(tmp_path / "v2_mask.nii.gz", arrays["mask"]())
    found = find_scans(tmp_path)
    assert {(s.name, s.mask.name, s.truth and s.truth.name) for s in found.scans} == {
        ("v1", "v1_seg.nii.gz", "v1_fracture.nii.gz"),
        ("v2", "v2_mask.nii.gz", None),
    }
    assert list(found.failed) == [str(tmp_path / "v3.nii.gz")]


def test_a_bids_ct_whose_only_mask_is_totalsegmentators_is_taken(tmp_path, put, arrays):
    put(tmp_path / "sub-a" / "sub-a_ct.nii.gz", arrays["ct"]())
    put(tmp_path / "sub-a" / "segmentations" / "vertebrae_L1.nii.gz", arrays["mask"]())
    found = find_scans(tmp_path)
    assert [(scan.patient_id, scan.structures[0][0]) for scan in found.scans] == [("sub-a", "L1")]
    assert (found.failed, found.passed) == ({}, {})


def test_pairs_that_number_no_vertebrae_are_taken_where_the_map_is_named(tmp_path, put, arrays):
    put(tmp_path / "images" / "x.nii.gz", arrays["ct"]())
    put(tmp_path / "labels" / "x.nii.gz", (arrays["mask"]() > 0).astype(np.uint8))
    with pytest.raises(InputError, match=r"no scans found .*1 pairs, for numbers 1 tell no vertebrae apart"):
        find_scans(tmp_path)
    assert names(find_scans(tmp_path, map_named=True)) == ["x"]
    assert names(find_scans(tmp_path, "pairs")) == ["x"]


def test_content_chooses_the_mask_that_numbers_vertebrae(tmp_path, put, arrays):
    put(tmp_path / "p_ct.nii.gz", arrays["ct"]())
    put(tmp_path / "p_spine.nii.gz", arrays["mask"](upper=30, lower=31))
    put(tmp_path / "p_body_seg.nii.gz", (arrays["mask"]() > 0).astype(np.uint8))
    (scan,) = find_scans(tmp_path).scans
    assert scan.mask.name == "p_spine.nii.gz"
    assert scan.decided == (
        "p_spine.nii.gz is the mask; p_body_seg.nii.gz passed over: numbers 1 tell no vertebrae apart",
    )
    put(tmp_path / "p_other_seg.nii.gz", arrays["mask"]())
    (complaint,) = find_scans(tmp_path).failed.values()
    assert complaint == "2 masks that number vertebrae (p_other_seg.nii.gz, p_spine.nii.gz); keep one"


def test_layouts_lie_side_by_side_and_other_studies_are_passed_over(real_data):
    found = find_scans(real_data)
    assert names(found) == ["example_ct", "sub-verse014_ct"]
    assert {scan.mask.name for scan in found.scans} == {"spine_totalseg.nii.gz", "sub-verse014_seg-vert_msk.nii.gz"}
    assert found.failed == {}
    (why,) = found.passed.values()
    assert list(found.passed) == [str(real_data / "hippocampus")]
    assert why.startswith("200 pairs, for numbers 1, 2 tell no vertebrae apart")
    assert names(find_scans(real_data, "verse")) == ["sub-verse014_ct"]


def test_link_loops_hidden_files_and_macos_leftovers(tmp_path, verse):
    ct = verse(tmp_path / "a", "sub-a")
    (tmp_path / "a" / "._sub-b_ct.nii.gz").write_bytes(b"x")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / ct.name).write_bytes(b"x")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    found = find_scans(tmp_path)
    assert [scan.ct for scan in found.scans] == [ct]
    assert found.failed == {}


def test_nothing_there_says_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(
        InputError, match=r"no scans found; looked for sub-\*_ct\.nii\.gz .*images/.*DICOM.*segmentat"
    ) as e:
        find_scans(tmp_path)
    assert "\n" not in str(e.value)
    with pytest.raises(InputError, match=r"layout 'vers' is none of .*did you mean 'verse'"):
        find_scans(tmp_path, "vers")
    with pytest.raises(InputError, match="no such folder"):
        find_scans(tmp_path / "absent")
