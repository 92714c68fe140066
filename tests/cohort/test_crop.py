"""Every vertebra gets its crop in its true place, whatever the scan's storage, and mistakes write nothing."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from fracture_vae.cohort import crop as module
from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.manifest import Box, read_cohort, write_cohort
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError

COS, SIN = np.cos(0.35), np.sin(0.35)
OBLIQUE = np.eye(4)  # left-handed: L-P-I turned by 20° about two axes, 0.8 × 0.9 × 2.5 mm
OBLIQUE[:3, :3] = [[COS, -SIN, 0], [SIN, COS, 0], [0, 0, 1]] @ np.array([[1, 0, 0], [0, COS, -SIN], [0, SIN, COS]])
OBLIQUE[:3, :3] *= [-0.8, -0.9, -2.5]
OBLIQUE[:3, 3] = (31, 40, -17)
SMALL = {"size": (32, 32, 32), "spacing": 1.0}


def scan(folder: Path, name: str = "ct", affine=OBLIQUE, seed: int = 0) -> tuple[Path, Path]:
    """A smooth CT with two vertebrae, L1 (20) and L2 (21), as boxes in the mask."""
    i, j, k = np.indices((48, 44, 20))
    wave = np.sin(i / 6 + seed) + np.cos(j / 7) + np.sin(k / 3)
    mask = np.zeros(i.shape, dtype=np.uint8)
    mask[10:20, 10:18, 3:8] = 20
    mask[28:36, 24:32, 11:16] = 21
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.nii.gz", folder / f"{name}_mask.nii.gz"
    nib.save(nib.Nifti1Image((900 + 250 * wave).astype(np.int16), affine), paths[0])
    nib.save(nib.Nifti1Image(mask, affine), paths[1])
    return paths


@pytest.mark.parametrize(
    ("folder", "ct", "mask", "labels", "levels"),
    [
        ("ct_verse014", "sub-verse014_ct", "sub-verse014_seg-vert_msk", "verse", ["L1", "L2", "L3", "L4", "L5"]),
        ("ct_totalsegmentator", "example_ct", "spine_totalseg", "totalsegmentator",
         ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]),
    ],
)  # fmt: skip
def test_a_real_ct_gives_a_crop_a_vertebra(real_data, tmp_path, folder, ct, mask, labels, levels):
    scan_path, mask_path = real_data / folder / f"{ct}.nii.gz", real_data / folder / f"{mask}.nii.gz"
    cases = crop_vertebrae(scan_path, mask_path, tmp_path, labels=labels)
    assert [case.level for case in cases] == levels
    assert [case.case_id for case in read_cohort(tmp_path / "cohort.csv").cases] == [
        f"{ct}_{level}" for level in levels
    ]
    source = read_volume(mask_path)
    heights = []
    for case in cases:
        volume = read_volume(case.image)
        own = read_volume(case.vertebra_mask).array > 0
        number = CropGeometry.from_json(case.crop).label
        assert volume.array.shape == (128, 128, 128)
        assert 0 == volume.array.min() < volume.array.max() <= 1
        np.testing.assert_array_equal(volume.affine[:3, :3], np.eye(3))
        # centred on the centroid, so the crop's own mask has its centroid in the middle, to nearest-voxel error,
        # and its volume (mm³) is the source's
        if number != 33:  # T11, of which the scan holds 4 voxels
            assert np.abs(np.argwhere(own).mean(axis=0) - 63.5).max() < 0.5
            mm3 = (source.array == number).sum() * abs(np.linalg.det(source.affine))
            assert own.sum() == pytest.approx(mm3, rel=0.02)
        heights.append(volume.affine[2] @ [63.5, 63.5, 63.5, 1])
    assert heights == sorted(heights, reverse=True)  # head to foot


def test_the_body_lies_in_front_of_its_vertebra(real_data, tmp_path):
    """The published centroids of bodies, through the stored affine, lie anterior of the crops' centres."""
    folder = real_data / "ct_verse014"
    ct = folder / "sub-verse014_ct.nii.gz"
    cases = crop_vertebrae(ct, folder / "sub-verse014_seg-vert_msk.nii.gz", tmp_path, **SMALL)
    bodies = json.loads((folder / "sub-verse014_seg-vb_ctd.json").read_text())[1:]
    for case, body in zip(cases, bodies, strict=True):
        world = nib.load(ct).affine @ [body["X"], body["Y"], body["Z"], 1]
        offset = (world - np.array(CropGeometry.from_json(case.crop).affine) @ [15.5, 15.5, 15.5, 1])[:3]
        right, anterior, _superior = offset
        assert 10 < anterior < 35  # mm
        assert abs(right) < 5


def test_simpleitk_makes_the_same_crop(tmp_path):
    """Another program's resampling onto the crop's grid, to half a storage step (0.03 HU) and float32 noise.

    At 0.8 mm, the scan's finest spacing, since SimpleITK's does not smooth where resolution is lost.
    """
    ct, mask = scan(tmp_path)
    case = crop_vertebrae(ct, mask, tmp_path / "out", size=(32, 32, 32), spacing=0.8)[0]
    reference = SimpleITK.ReadImage(str(case.image), SimpleITK.sitkFloat32)
    image = SimpleITK.ReadImage(str(ct), SimpleITK.sitkFloat32)
    other = SimpleITK.Resample(image, reference, SimpleITK.Transform(), SimpleITK.sitkLinear, 0.0)
    difference = SimpleITK.GetArrayFromImage(reference) * 1900 - SimpleITK.GetArrayFromImage(other).clip(0, 1900)
    assert np.percentile(np.abs(difference), 99.9) < 0.035


@pytest.mark.parametrize("codes", [("P", "I", "R"), ("L", "P", "S"), ("S", "R", "P")])
def test_storage_order_does_not_change_a_crop(tmp_path, codes):
    ct, mask = scan(tmp_path)
    first = crop_vertebrae(ct, mask, tmp_path / "a", **SMALL)
    for path in (ct, mask):
        image = nib.load(path)
        turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
        nib.save(image.as_reoriented(turn), path)
    second = crop_vertebrae(ct, mask, tmp_path / "b", **SMALL)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(read_volume(one.image).affine, read_volume(two.image).affine, atol=1e-4)
        np.testing.assert_allclose(read_volume(one.image).array, read_volume(two.image).array, atol=2**-14)


def test_coarse_crops_for_the_demo(tmp_path):
    ct, mask = scan(tmp_path)
    case = crop_vertebrae(ct, mask, tmp_path / "out", size=(64, 64, 64), spacing=2.0)[0]
    volume = read_volume(case.image)
    assert volume.array.shape == (64, 64, 64)
    np.testing.assert_array_equal(np.diag(volume.affine), [2, 2, 2, 1])


def test_beyond_the_scan_is_zero_and_told_as_outside(tmp_path):
    ct, mask = scan(tmp_path)
    case = crop_vertebrae(ct, mask, tmp_path / "out", size=(64, 64, 64))[0]
    inside = CropGeometry.from_json(case.crop).inside_source()
    image = read_volume(case.image).array
    assert 0 < inside.mean() < 1
    assert (image[~inside] == 0).all()
    assert (image[inside] > 0).all()  # the synthetic CT is above 0 HU everywhere


def test_truth_labels_its_own_vertebra_only(tmp_path):
    ct, mask = scan(tmp_path)
    labels = nib.load(mask)
    truth = np.asarray(labels.dataobj) == 21
    truth[:30] = False
    nib.save(nib.Nifti1Image(truth.astype(np.uint8), labels.affine), tmp_path / "truth.nii.gz")
    l1, l2 = crop_vertebrae(ct, mask, tmp_path / "out", truth_path=tmp_path / "truth.nii.gz", size=(48, 48, 48))
    assert (l1.label, l2.label) == (0, 1)
    assert read_volume(l2.mask).array.sum() > 0
    assert {l1.mask.name, l2.vertebra_mask.name} == {"ct_L1_truth_label.nii.gz", "ct_L2_label.nii.gz"}


def test_without_truth_the_label_is_unknown(tmp_path):
    assert [case.label for case in crop_vertebrae(*scan(tmp_path), tmp_path / "out", **SMALL)] == [None, None]


def test_a_vertebra_at_the_upper_or_lower_border_is_marked(tmp_path):
    ct, mask = scan(tmp_path)
    image = nib.load(mask)
    labels = np.array(image.dataobj)
    labels[28:36, 24:32, 16:] = 21
    nib.save(nib.Nifti1Image(labels, image.affine), mask)
    cases = crop_vertebrae(ct, mask, tmp_path / "out", **SMALL)
    assert [case.extra["cut_off"] for case in cases] == ["0", "1"]


def test_a_second_scan_joins_the_table_and_a_repeat_replaces_its_own_rows(tmp_path):
    out = tmp_path / "out"
    crop_vertebrae(*scan(tmp_path, "sub-a_ct"), out, **SMALL)
    crop_vertebrae(*scan(tmp_path, "sub-b_ct", seed=1), out, **SMALL)
    crop_vertebrae(tmp_path / "sub-a_ct.nii.gz", tmp_path / "sub-a_ct_mask.nii.gz", out, levels=["L2"], **SMALL)
    cases = read_cohort(out / "cohort.csv").cases
    assert sorted(case.case_id for case in cases) == ["sub-a_ct_L2", "sub-b_ct_L1", "sub-b_ct_L2"]
    assert {case.patient_id for case in cases} == {"sub-a", "sub-b"}


def test_scans_cropped_side_by_side_all_stand_in_the_table(tmp_path, monkeypatch):
    out = tmp_path / "out"
    pairs = [scan(tmp_path, f"sub-{name}_ct", seed=seed) for seed, name in enumerate("abc")]

    def written_slowly(*args):
        time.sleep(0.3)
        write_cohort(*args)

    monkeypatch.setattr(module, "write_cohort", written_slowly)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda pair: crop_vertebrae(*pair, out, **SMALL), pairs))
    patients = [case.patient_id for case in read_cohort(out / "cohort.csv").cases]
    assert sorted(patients) == ["sub-a", "sub-a", "sub-b", "sub-b", "sub-c", "sub-c"]


@pytest.mark.parametrize(("size", "box"), [((32, 32, 32), Box((1, 1, 1), (4, 4, 4))), ((40, 40, 40), None)])
def test_what_people_filled_in_survives_a_repeat_but_not_a_box_that_moved(tmp_path, size, box):
    ct, mask = scan(tmp_path)
    table = tmp_path / "out" / "cohort.csv"
    cases = crop_vertebrae(ct, mask, table.parent, **SMALL)
    write_cohort(table, [replace(c, label=1, fold="2", genant_grade=3, box=Box((1, 1, 1), (4, 4, 4)),
                                 extra={**c.extra, "note": "seen"}) for c in cases])  # fmt: skip
    crop_vertebrae(ct, mask, table.parent, size=size)
    for case in read_cohort(table).cases:
        assert (case.label, case.fold, case.genant_grade, case.extra["note"]) == (1, "2", 3, "seen")
        assert case.box == box


def test_two_scans_of_one_name_need_a_patient_id(tmp_path):
    first, second = scan(tmp_path / "p1"), scan(tmp_path / "p2", seed=1)
    out = tmp_path / "out"
    crop_vertebrae(*first, out, **SMALL)
    before = (out / "cohort.csv").read_bytes()
    with pytest.raises(InputError, match="'ct_L1' of another scan; give this scan a patient id"):
        crop_vertebrae(*second, out, **SMALL)
    assert (out / "cohort.csv").read_bytes() == before
    cases = crop_vertebrae(*second, out, patient_id="p2", **SMALL)
    assert [(case.case_id, case.patient_id) for case in cases] == [("p2_ct_L1", "p2"), ("p2_ct_L2", "p2")]


def spoilt(kind: str, ct: Path, mask: Path) -> dict[str, object]:
    labels, affine = np.array(nib.load(mask).dataobj), nib.load(mask).affine.copy()
    if kind == "shifted":
        affine[0, 3] += 0.01
    elif kind == "cut":
        labels = labels[:-1]
    elif kind == "empty":
        labels[:] = 0
    elif kind == "fractions":
        labels = labels.astype(np.float32) + 0.5
    elif kind == "not HU":
        nib.save(nib.Nifti1Image(np.array(nib.load(ct).get_fdata() / 2000), nib.load(ct).affine), ct)
    nib.save(nib.Nifti1Image(labels, affine), mask)
    return {"window": {"hu_window": (100.0, 100.0)}, "size": {"size": (0, 4, 4)}, "spacing": {"spacing": 0.0}}.get(
        kind, {}
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("shifted", r"ct_mask\.nii\.gz: mask on another grid than .*ct\.nii\.gz \(affine\)"),
        ("cut", r"mask on another grid than .*ct\.nii\.gz \(size \(47, 44, 20\), not \(48, 44, 20\)\)"),
        ("empty", r"ct_mask\.nii\.gz: the mask is empty"),
        ("fractions", "holds values that are no labels"),
        ("not HU", "give a CT in HU"),
        ("window", "HU window 100 to 100 is empty"),
        ("size", "must be above 0"),
        ("spacing", "must be above 0"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_nothing_is_written(tmp_path, kind, said):
    ct, mask = scan(tmp_path)
    settings = spoilt(kind, ct, mask)
    with pytest.raises(InputError, match=said) as caught:
        crop_vertebrae(ct, mask, tmp_path / "out", **settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_float_noise_in_the_masks_affine_is_no_other_grid(tmp_path):
    ct, mask = scan(tmp_path)
    image = nib.load(mask)
    nib.save(nib.Nifti1Image(np.array(image.dataobj), image.affine + 1e-5 * np.eye(4)[:, ::-1]), mask)
    assert len(crop_vertebrae(ct, mask, tmp_path / "out", **SMALL)) == 2


def test_truth_gives_its_vertebra_a_box_and_its_neighbour_none(tmp_path):
    """On a grid along the world's axes at 1 mm, so that the box can be told by hand; what leaves the mask is kept."""
    affine = np.eye(4)
    ct, mask = scan(tmp_path, affine=affine)
    labels = np.array(nib.load(mask).dataobj)
    truth = np.zeros_like(labels)
    truth[12:16, 11:14, 6:10] = 1  # L1 is 10:20, 10:18, 3:8, so two slices lie above it
    truth[40:44] = 1  # beyond 5 mm of L2, which is 28:36
    nib.save(nib.Nifti1Image(truth, affine), tmp_path / "truth.nii.gz")
    l1, l2 = crop_vertebrae(ct, mask, tmp_path / "out", truth_path=tmp_path / "truth.nii.gz", **SMALL)
    # the crop's voxel 15.5 is the centroid (14.5, 13.5, 5), so it begins at −1, −2, −10.5: half a voxel off along z
    assert (l1.label, l1.box, l1.extra["slices"]) == (1, Box((13, 13, 16), (17, 16, 20)), "16:20")
    assert (l2.label, l2.box, "slices" in l2.extra) == (0, None, False)
    again = read_cohort(tmp_path / "out" / "cohort.csv").cases
    assert [case.box for case in again] == [l1.box, None]


def test_a_box_drawn_by_hand_gives_way_to_the_truth(tmp_path):
    ct, mask = scan(tmp_path)
    table = tmp_path / "out" / "cohort.csv"
    cases = crop_vertebrae(ct, mask, table.parent, **SMALL)
    write_cohort(table, [replace(c, box=Box((1, 1, 1), (4, 4, 4)), extra={"slices": "1:4"}) for c in cases])
    nib.save(nib.Nifti1Image((nib.load(mask).get_fdata() == 20).astype(np.uint8), OBLIQUE), tmp_path / "truth.nii.gz")
    l1, l2 = crop_vertebrae(ct, mask, table.parent, truth_path=tmp_path / "truth.nii.gz", **SMALL)
    assert l1.box not in (None, Box((1, 1, 1), (4, 4, 4)))
    assert l1.extra["slices"] == f"{l1.box.lower[2]}:{l1.box.upper[2]}"
    assert l2.box is None
    assert "slices" not in l2.extra
