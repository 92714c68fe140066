"""Boxes drawn on whole scans land in the right crop at the right place, in voxels or millimetres alike."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from fracture_vae.cohort.boxes import box_of
from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.preparation.boxes_csv import join_boxes, read_boxes

VOXEL_BOX = "9,14,10,15,14,18"  # in L1, which is 8:16, 8:18, 13:20
MM_BOX = "-0.25,7.25,8.25,15.75,-13,-5"  # the same faces: x = 20 − 1.5 i, y = 30 − 1.5 j, z = −40 + 2 k


@pytest.fixture(scope="module")
def cases(tmp_path_factory, verse):
    folder = tmp_path_factory.mktemp("boxed")
    ct = verse(folder, "sub-a")
    mask = folder / "sub-a_seg-vert_msk.nii.gz"
    return crop_vertebrae(ct, mask, folder / "out", size=(40, 40, 40), spacing=1.0)


def table(tmp_path, *lines):
    path = tmp_path / "boxes.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def first_box(cases, path):
    boxed = join_boxes(cases, read_boxes(path))
    assert boxed.failed == {}
    return next(case for case in boxed.cases if case.level == "L1")


def test_a_box_in_voxels_of_the_file_covers_what_it_was_drawn_around(tmp_path, cases):
    case = first_box(cases, table(tmp_path, "patient_id,level,i0,i1,j0,j1,k0,k1", f"sub-a,L1,{VOXEL_BOX}"))
    source = read_volume(cases[0].source_image.with_name("sub-a_seg-vert_msk.nii.gz"))
    crop = read_volume(case.image).affine
    lower = crop[:3, :3] @ (np.array(case.box.lower) - 0.5) + crop[:3, 3]
    upper = crop[:3, :3] @ (np.array(case.box.upper) - 0.5) + crop[:3, 3]
    world = [source.stored.affine @ [i, j, k, 1] for i in (9, 13) for j in (10, 14) for k in (14, 17)]
    for point in world:
        assert (lower <= point[:3]).all()
        assert (point[:3] <= upper).all()
    assert (upper - lower <= np.array([7.5, 7.5, 8]) + 2).all()  # 5 × 1.5, 5 × 1.5, 4 × 2 mm, a voxel more a side
    assert case.extra["slices"] == f"{case.box.lower[2]}:{case.box.upper[2]}"
    assert case.label == 1


def test_millimetres_and_a_scan_without_level_give_the_same(tmp_path, cases):
    first = first_box(cases, table(tmp_path, "patient_id,level,i0,i1,j0,j1,k0,k1", f"sub-a,L1,{VOXEL_BOX}"))
    mm = table(tmp_path, "patient_id,level,x0,x1,y0,y1,z0,z1", f"sub-a,L1,{MM_BOX}")
    assert first_box(cases, mm).box == first.box
    scan = table(tmp_path, "scan,x0,x1,y0,y1,z0,z1", f"sub-a_ct,{MM_BOX}")
    assert first_box(cases, scan).box == first.box
    both = table(
        tmp_path,
        "scan,space,i0,i1,j0,j1,k0,k1,x0,x1,y0,y1,z0,z1",
        f"sub-a_ct,voxel,{VOXEL_BOX},,,,,,",
    )
    assert first_box(cases, both).box == first.box


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("sub-a,L1,,900,910,0,5,0,5", "its box lies outside the crop sub-a_ct_L1"),
        (",,sub-a_ct,0,2,0,2,0,2", "holds nothing of any vertebra of sub-a_ct"),
        ("sub-a,L5,,9,14,10,15,14,18", "no crop is of 'L5'; did you mean 'L"),
        ("sub-b,L1,,9,14,10,15,14,18", "no crop is of 'sub-b'; did you mean 'sub-a'"),
    ],
)
def test_a_row_that_fits_no_crop_is_named_and_the_others_are_used(tmp_path, cases, row, said):
    columns = "patient_id,level,scan,i0,i1,j0,j1,k0,k1"
    path = table(tmp_path, columns, row, f"sub-a,L2,,{'9,12,9,12,5,8'}")
    boxed = join_boxes(cases, read_boxes(path))
    ((where, why),) = boxed.failed.items()
    assert where == f"{path}: row 2"
    assert said in why
    assert [case.level for case in boxed.cases if case.box] == ["L2"]


def test_a_second_box_and_a_box_of_a_normal_vertebra_are_refused(tmp_path, cases):
    path = table(tmp_path, "patient_id,level,i0,i1,j0,j1,k0,k1", *[f"sub-a,L1,{VOXEL_BOX}"] * 2)
    assert (
        "a second box of sub-a_ct_L1 (row 2 has the first)"
        in join_boxes(cases, read_boxes(path)).failed[f"{path}: row 3"]
    )
    normal = [replace(case, label=0) for case in cases]
    assert "whose label is 0 (normal)" in join_boxes(normal, read_boxes(path)).failed[f"{path}: row 2"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["patient_id,level,i0", "sub-a,L1,2"], "no box columns; name i0,i1,j0,j1,k0,k1"),
        (["i0,i1,j0,j1,k0,k1", "1,2,1,2,1,2"], "boxes of which vertebra"),
        (["scan,i0,i1,j0,j1,k0,k1", "a,1,1,1,2,1,2"], "row 2: its box is empty"),
        (["scan,i0,i1,j0,j1,k0,k1", "a,1,2.5,1,2,1,2"], "row 2: its box is empty or no box; give whole numbers"),
        (["scan,x0,x1,y0,y1,z0,z1", "a,1,nan,1,2,1,2"], "row 2: its box is empty or no box"),
        (["scan,i0,i1,j0,j1,k0,k1", "a,1,x,1,2,1,2"], "row 2: the box has an end that is no number"),
        (["scan,i0,i1,j0,j1,k0,k1,x0,x1,y0,y1,z0,z1", "a" + ",1" * 12], "add a column 'space'"),
        (["scan,space,i0,i1,j0,j1,k0,k1", "a,mm,1,2,1,2,1,2"], "space is 'mm'; the columns hold voxel"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_in_a_line(tmp_path, lines, said):
    with pytest.raises(InputError, match=said):
        read_boxes(table(tmp_path, *lines))


def test_the_box_of_a_real_vertebra_in_its_files_voxels_holds_its_mask_in_the_crop(tmp_path, real_data):
    """Stored P-I-R at 1 × 1 × 2 mm, tilted by 8°: the box around its corners is up to 5 mm wider than the mask."""
    folder = real_data / "ct_verse014"
    mask = folder / "sub-verse014_seg-vert_msk.nii.gz"
    cases = crop_vertebrae(folder / "sub-verse014_ct.nii.gz", mask, tmp_path / "out", levels=["L2"])
    there = np.argwhere(np.asarray(nib.load(mask).dataobj) == 21)
    ends = ",".join(f"{a},{b + 1}" for a, b in zip(there.min(axis=0), there.max(axis=0), strict=True))
    boxed = join_boxes(cases, read_boxes(table(tmp_path, "scan,i0,i1,j0,j1,k0,k1", f"sub-verse014_ct,{ends}")))
    own = box_of(read_volume(cases[0].vertebra_mask).array > 0)
    (case,) = boxed.cases
    wider = np.array([np.subtract(own.lower, case.box.lower), np.subtract(case.box.upper, own.upper)])
    assert wider.min() >= 0
    assert wider.max() <= 5
