"""Checks on made-up spines of blocks, on the phantom, and on two real scans and their mirror images."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from fracture_vae.cohort.volumes import Volume, read_volume, write_nifti
from fracture_vae.preparation import kinds
from fracture_vae.preparation.checks import check_scan, coarse, content_hash, duplicates
from fracture_vae.preparation.extent import field_of_view
from fracture_vae.preparation.finding import Finding
from fracture_vae.preparation.intensity import noise
from fracture_vae.preparation.vertebra import measure

LEVELS = {"T12": 19, "L1": 20, "L2": 21, "L3": 22}
Arrays = tuple[NDArray[np.float32], NDArray[np.float32]]
AsVolume = Callable[..., Volume]


@pytest.fixture
def volume(tmp_path: Path) -> AsVolume:
    """``volume(array, spacing)`` is what reading the array back from a NIfTI gives."""

    def make(array: NDArray[np.generic], spacing: tuple[float, float, float] = (2, 2, 2), name: str = "ct") -> Volume:
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = -np.array(array.shape) * spacing / 2
        write_nifti(tmp_path / f"{name}.nii", array, affine, descrip="", cal_max=1)
        return read_volume(tmp_path / f"{name}.nii", allow_constant=True)

    return make


def blocks() -> Arrays:
    """Four bodies of 28 × 20 × 24 mm in muscle and fat, 30 mm apart, T12 uppermost; voxels of 2 mm."""
    ct = np.full((40, 36, 80), 50, np.float32)
    ct[:4] = -100
    mask = np.zeros_like(ct)
    for index, number in enumerate(LEVELS.values()):
        own = (slice(13, 27), slice(15, 25), slice(62 - 15 * index, 74 - 15 * index))
        mask[own] = number
        ct[own] = np.linspace(250, 350, 14 * 10 * 12).reshape(14, 10, 12)
    return ct, mask


def found(volume: AsVolume, arrays: Arrays, levels: dict[str, int] = LEVELS, **options: object) -> list[Finding]:
    ct, mask = arrays
    centroids = options.pop("centroids", None)
    return check_scan(
        "p1", "scan1", volume(ct, **options), volume(mask, name="mask", **options), levels, centroids  # type: ignore[arg-type]
    )  # fmt: skip


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.kind) for finding in findings]


def test_nothing_is_said_of_a_clean_scan(volume: AsVolume) -> None:
    assert found(volume, blocks()) == []


def test_a_swapped_pair_is_named(volume: AsVolume) -> None:
    ct, mask = blocks()
    first, second = mask == 20, mask == 21
    mask[first], mask[second] = 21, 20
    findings = found(volume, (ct, mask))
    assert told(findings) == [("L1", kinds.ORDER), ("L2", kinds.ORDER)]
    assert findings[0] == Finding("p1", "scan1", "L1", kinds.ORDER, findings[0].detail)
    assert findings[0].detail == "lies 30 mm below L2: swap the labels L1 and L2"


def test_levels_two_apart_may_be_swapped_too(volume: AsVolume) -> None:
    ct, mask = blocks()
    first, second = mask == 19, mask == 22
    mask[first], mask[second] = 22, 19
    assert told(found(volume, (ct, mask))) == [("T12", kinds.ORDER), ("L3", kinds.ORDER)]


def test_a_mask_numbered_from_foot_to_head_is_told_once(volume: AsVolume) -> None:
    ct, mask = blocks()
    (finding,) = found(volume, (ct, np.where(mask > 0, 41 - mask, 0)))
    assert (finding.level, finding.kind) == ("", kinds.ORDER)
    assert finding.detail.startswith("T12 lies lowest and L3 highest")


@pytest.mark.parametrize(("spacing", "flagged"), [((1, 1, 3.0), False), ((1, 1, 3.1), True), ((3.1, 1, 1), True)])
def test_more_than_three_millimetres_is_coarse(
    volume: AsVolume, spacing: tuple[float, float, float], flagged: bool
) -> None:
    findings = [f for f in found(volume, blocks(), spacing=spacing) if f.kind == kinds.SPACING]
    assert len(findings) == flagged
    for finding in findings:
        axis = "foot to head" if spacing[2] > 3 else "left to right"
        assert finding.detail.startswith(f"voxels are 3.10 mm {axis}, above 3 mm")


def test_every_coarse_axis_is_named() -> None:
    assert "4.00 mm back to front and 5.00 mm foot to head" in coarse(np.array([1.0, 4, 5]))


def test_a_vertebra_cut_through_its_body_is_told_with_the_area(volume: AsVolume) -> None:
    ct, mask = (array[:, :, :68] for array in blocks())  # through the middle of T12
    (finding,) = found(volume, (ct, mask))
    assert (finding.level, finding.kind) == ("T12", kinds.CUT)
    assert finding.detail.startswith("reaches the scan's upper border over 560 mm²")  # 14 × 10 voxels of 4 mm²


def test_padding_does_not_count_as_field_of_view(volume: AsVolume) -> None:
    ct, mask = blocks()
    ct[:, :, 68:] = -1024
    mask[:, :, 68:] = 0
    assert field_of_view(ct) == ((0, 39), (0, 35), (0, 67))
    assert told(found(volume, (ct, mask))) == [("T12", kinds.CUT)]


def test_a_flat_face_one_slice_inside_the_border_is_a_cut(volume: AsVolume) -> None:
    ct, mask = (array[:, :, :69] for array in blocks())
    mask = mask.copy()
    mask[:, :, 68] = 0
    (finding,) = found(volume, (ct, mask))
    assert finding.detail.startswith("ends 2.0 mm from the scan's upper border in a face of 560 mm²")


def test_a_sliver_inside_the_scan_is_small_and_near_the_border_cut(volume: AsVolume) -> None:
    ct, mask = blocks()
    mask[16:, :, 62:74] = np.where(mask[16:, :, 62:74] == 19, 0, mask[16:, :, 62:74])
    (finding,) = found(volume, (ct, mask))
    assert (finding.level, finding.kind) == ("T12", kinds.SMALL)
    assert "2.9 ml, 21% of its neighbours' volume" in finding.detail
    (finding,) = found(volume, (ct[:, :, :76], mask[:, :, :76]))
    assert (finding.level, finding.kind) == ("T12", kinds.CUT)


def test_processes_at_the_border_are_one_finding_and_no_cut(volume: AsVolume) -> None:
    ct, mask = blocks()
    for number in (20, 21):
        k = int(np.argwhere(mask == number)[:, 2].mean())
        mask[:14, 18:22, k : k + 4] = number  # 64 mm² on the left border
    (finding,) = found(volume, (ct, mask))
    assert (finding.level, finding.kind) == ("", kinds.PROCESSES)
    assert finding.detail.startswith("L1, L2: processes reach the left border (at most 64 mm²)")


def test_a_corner_of_a_body_on_the_upper_border_is_a_cut_and_a_process_is_none(volume: AsVolume) -> None:
    ct, mask = (array[:, :, :76].copy() for array in blocks())
    mask[13:27, 12:15, 74:76] = 19  # 14 × 3 voxels of 4 mm² behind
    assert told(found(volume, (ct, mask))) == [("", kinds.PROCESSES)]
    mask[13:27, 23:25, 74:76] = 19  # and 14 × 2 in front
    assert told(found(volume, (ct, mask))) == [("T12", kinds.CUT)]


def test_levels_far_apart_are_not_compared_in_size(volume: AsVolume) -> None:
    ct, mask = blocks()
    mask[mask == 21] = 0
    mask[20:, :, 62:74] = np.where(mask[20:, :, 62:74] == 19, 0, mask[20:, :, 62:74])
    mask[mask == 20] = 0
    kept = found(volume, (ct, mask), {"T2": 19, "L3": 22})
    assert {finding.kind for finding in kept} == {kinds.MISSING}


def test_a_missing_level_is_named_and_whether_there_is_room_for_it(volume: AsVolume) -> None:
    ct, mask = blocks()
    unlabelled = np.where(mask == 20, 0, mask)
    (finding,) = found(volume, (ct, unlabelled))
    assert (finding.level, finding.kind) == ("L1", kinds.MISSING)
    assert finding.detail == "T12 and L2 lie 60 mm apart, neighbours here 30 mm: it is there but has no label; label it"
    misnumbered = np.select([mask == 19, mask == 20], [18, 19], mask)  # T11, T12, L2, L3: L1 is left out
    (finding,) = found(volume, (ct, misnumbered), {"T11": 18, "T12": 19, "L2": 21, "L3": 22})
    assert (finding.level, finding.kind) == ("L1", kinds.MISSING)
    assert "no room for it" in finding.detail


def test_neighbours_by_name_that_lie_far_apart_are_told(volume: AsVolume) -> None:
    ct, mask = blocks()
    renumbered = np.select([mask == 19, mask == 20, mask == 21], [20, 0, 21], mask)  # L1, unlabelled, L2, L3
    (finding,) = found(volume, (ct, renumbered), {"L1": 20, "L2": 21, "L3": 22})
    assert (finding.level, finding.kind) == ("L2", kinds.APART)
    assert "begins 38 mm from L1's" in finding.detail


def test_a_label_in_two_places_is_told_but_not_a_speck(volume: AsVolume) -> None:
    ct, mask = blocks()
    mask[2, 2, 2] = 20
    assert found(volume, (ct, mask)) == []
    mask[30:34, 2:6, 40:44] = 20  # 64 voxels of 8 mm³, √(8² + 20² + 8²) mm off
    (finding,) = found(volume, (ct, mask))
    assert (finding.level, finding.kind) == ("L1", kinds.PIECES)
    assert "there lie 0.5 ml 23 mm away" in finding.detail


def test_centroids_that_are_not_in_their_mask_are_told(volume: AsVolume) -> None:
    right = {v.level: tuple(v.centroid) for v in measure(volume(blocks()[1]), LEVELS)}
    assert found(volume, blocks(), centroids=right) == []
    one_off = {**right, "L1": right["L2"]}
    (finding,) = found(volume, blocks(), centroids=one_off)
    assert (finding.level, finding.kind) == ("L1", kinds.CENTROID)
    assert "in L2's mask" in finding.detail
    far = {**right, "L3": (right["L3"][0] + 40, *right["L3"][1:])}
    (finding,) = found(volume, blocks(), centroids=far)
    assert (finding.level, finding.detail) == (
        "L3",
        "the given centroid lies 27 mm off its mask: check the file's axes and unit",
    )
    elsewhere = {level: (x + 100, y, z) for level, (x, y, z) in right.items()}
    (finding,) = found(volume, blocks(), centroids=elsewhere)
    assert (finding.level, finding.kind) == ("", kinds.CENTROID)


def test_metal_is_counted_for_the_nearest_level(volume: AsVolume) -> None:
    ct, mask = blocks()
    ct[20, 5:15, 66] = 3071  # a screw of ten voxels of 8 mm³ into T12
    ct[0, 0, 0] = 3071  # far from the spine
    (finding,) = found(volume, (ct, mask))
    assert (finding.level, finding.kind) == ("T12", kinds.METAL)
    assert finding.detail.startswith("10 voxels (80 mm³) of at least 3000 HU within 20 mm")


def test_a_lower_ceiling_counts_as_metal_and_a_single_bright_voxel_does_not(volume: AsVolume) -> None:
    ct, mask = blocks()
    ct[20, 20, 66] = 2047
    assert found(volume, (ct, mask)) == []
    ct[20, 16:20, 66] = 2047
    (finding,) = found(volume, (ct, mask))
    assert finding.detail.startswith("5 voxels (40 mm³) of at least 2047 HU")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ct: ct + 1024, "HU + 1024"),
        (lambda ct: np.clip(ct, -100, 240), "cut off at 240, where 100.0% of the bone lies"),
        (lambda ct: np.clip(ct, 0, None), "the lowest value is 0"),
        (lambda ct: np.where(ct > 200, -500, ct + 10.0), "does the mask fit"),
    ],
)
def test_numbers_that_are_no_hu_are_told(
    volume: AsVolume, change: Callable[[NDArray[np.float32]], NDArray[np.float32]], says: str
) -> None:
    ct, mask = blocks()
    findings = [f for f in found(volume, (change(ct), mask)) if f.kind == kinds.INTENSITY]
    assert [finding.level for finding in findings] == [""]
    assert says in findings[0].detail


def test_noise_is_measured_and_much_of_it_told(volume: AsVolume) -> None:
    ct, mask = blocks()
    rng = np.random.default_rng(0)
    noisy = ct + rng.normal(0, 40, ct.shape).astype(np.float32)
    assert noise(noisy, measure(volume(mask), LEVELS)) == pytest.approx(40, rel=0.1)
    assert found(volume, (noisy, mask)) == []
    drowned = ct + rng.normal(0, 250, ct.shape).astype(np.float32)
    assert ("", kinds.NOISE) in told(found(volume, (drowned, mask)))


def test_one_image_has_one_hash_however_it_is_stored(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-1000, 2000, (5, 6, 7)).astype(np.int16)
    affine = np.diag([1.0, 2, 3, 1])
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "a.nii")
    nib.save(nib.Nifti1Image(array.astype(np.float32), affine), tmp_path / "b.nii.gz")
    turned = nib.Nifti1Image(array, affine).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(turned, tmp_path / "c.nii.gz")
    np.save(tmp_path / "d.npy", array)
    hashes = {name: content_hash(read_volume(tmp_path / name)) for name in ("a.nii", "b.nii.gz", "c.nii.gz", "d.npy")}
    assert len(set(hashes.values())) == 1
    array[0, 0, 0] += 1
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "other.nii")
    assert content_hash(read_volume(tmp_path / "other.nii")) != hashes["a.nii"]
    nib.save(nib.Nifti1Image(array.reshape(5, 7, 6), affine), tmp_path / "shape.nii")
    assert content_hash(read_volume(tmp_path / "shape.nii")) != content_hash(read_volume(tmp_path / "other.nii"))


def test_duplicates_are_found_within_and_across_patients() -> None:
    hashes = {("b", "copy"): "x", ("a", "one"): "x", ("a", "two"): "x", ("a", "three"): "y"}
    found = duplicates(hashes)
    assert [(f.patient_id, f.scan, f.kind) for f in found] == [
        ("a", "two", kinds.DUPLICATE), ("b", "copy", kinds.DUPLICATE),
    ]  # fmt: skip
    assert "as one of this patient" in found[0].detail
    assert "as one of patient a" in found[1].detail
