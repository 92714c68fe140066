"""What one map says of one case, by hand."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.apps.pathology.utils import compute_multi_instance_mask
from monai.metrics.froc import compute_fp_tp_probs_nd
from scipy import ndimage

from fracture_vae.cohort.geometry import CropGeometry, centred_affine
from fracture_vae.errors import InputError
from fracture_vae.evaluation.voxels import Asked, candidates, histogram, keys, tally, tally_case, zones

MM = np.ones(3)
SHAPE = (24, 24, 24)
EVERYWHERE = np.ones(SHAPE, bool)
floats = st.floats(allow_nan=False, allow_infinity=False, width=32)


def cube(*start: int, size: int = 3) -> tuple[slice, ...]:
    return tuple(slice(at, at + size) for at in start)


@given(arrays(np.float32, st.integers(2, 30), elements=floats))
def test_bins_keep_the_order_and_are_narrow(values: np.ndarray) -> None:
    assert (np.diff(keys(np.sort(values))) >= 0).all()
    some = values[(np.abs(values) > 1e-30) & (np.abs(values) < 1e38)]
    assert (keys(some + np.abs(some) / 500) > keys(some)).all()


def test_both_zeros_are_one_score() -> None:
    assert keys(np.array([0.0, -0.0], np.float32)).tolist() == [0, 0]


def test_counts_and_weights_by_bin() -> None:
    found = histogram(np.array([7, 3, 7, -2], np.int32), np.array([0.5, 1, 0.25, 2]))
    assert (found.keys.tolist(), found.counts.tolist()) == ([-2, 3, 7], [2, 1, 0.75])
    assert histogram(np.array([7, 3, 7], np.int32)).counts.tolist() == [1, 2]
    assert histogram(np.zeros(0, np.int32)).keys.size == 0


def test_candidates_are_the_highest_within_5_mm() -> None:
    values = np.random.default_rng(0).random(SHAPE) * 0.1
    values[4, 4, 4], values[4, 4, 9], values[4, 4, 15] = 3, 2, 1  # 5 and then 6 voxels away
    found = {tuple(int(i) for i in at) for at in np.argwhere(mask_of(candidates(values, MM)))}
    assert {(4, 4, 4), (4, 4, 15)} <= found
    assert (4, 4, 9) not in found
    coarse = {tuple(int(i) for i in at) for at in np.argwhere(mask_of(candidates(values, MM * 2)))}
    assert (4, 4, 9) in coarse, "10 mm away at 2 mm"


def mask_of(found: tuple[np.ndarray, ...]) -> np.ndarray:
    out = np.zeros(SHAPE, bool)
    out[found] = True
    return out


def test_a_plateau_is_one_candidate_and_a_level_map_has_none() -> None:
    values = np.zeros(SHAPE)
    values[cube(8, 8, 8)] = 1
    (only,) = np.argwhere(mask_of(candidates(values, MM))).tolist()
    assert only == [9, 9, 9]
    assert len(candidates(np.ones(SHAPE), MM)[0]) == 0
    padded = np.ones(SHAPE)
    padded[:5] = -np.inf
    assert len(candidates(padded, MM)[0]) == 0, "an end of what is valid is no peak"


def test_a_case_by_hand() -> None:
    truth, values = np.zeros(SHAPE, bool), np.zeros(SHAPE, np.float32)
    truth[cube(2, 2, 2)] = truth[cube(16, 16, 16, size=2)] = True  # 27 and 8 voxels
    values[cube(2, 2, 2)] = 0.5
    values[2, 2, 2] = 1.0
    values[12, 2, 12] = 0.75
    found = tally(values, truth, EVERYWHERE, MM, threshold=0.6)
    zero, half, most, one = keys(np.array([0, 0.5, 0.75, 1], np.float32)).tolist()
    assert dict(zip(*found.positive, strict=True)) == {zero: 8, half: 26, one: 1}
    assert dict(zip(*found.negative, strict=True)) == {zero: 24**3 - 36, most: 1}
    assert dict(zip(*found.overlap, strict=True)) == pytest.approx({zero: 1, half: 26 / 27, one: 1 / 27})
    assert found.regions == 2
    assert dict(zip(*found.hits, strict=True)) == {one: 1}, "the second region has no candidate"
    assert dict(zip(*found.false, strict=True)) == {most: 1}
    assert found.above == (1, 1)


def test_what_is_not_valid_does_not_count() -> None:
    truth = np.zeros(SHAPE, bool)
    truth[cube(0, 0, 0)] = True
    values = np.random.default_rng(1).random(SHAPE, np.float32)
    valid = EVERYWHERE.copy()
    valid[:3] = False
    found = tally(values, truth, valid, MM)
    assert (found.regions, found.positive.keys.size, found.hits.keys.size) == (0, 0, 0)
    assert found.negative.counts.sum() == valid.sum()
    assert np.isnan(found.above).all()


def test_specks_5_mm_apart_are_one_region_and_what_lies_between_is_a_hit() -> None:
    truth, values = np.zeros(SHAPE, bool), np.zeros(SHAPE, np.float32)
    truth[4, 4, 4] = truth[4, 4, 9] = truth[18, 18, 4] = truth[18, 18, 10] = True  # 5 and 6 voxels from each other
    values[4, 4, 6] = 1.0  # between two specks
    assert zones(truth, MM)[1] == 3
    assert zones(truth, MM * 2)[1] == 4
    found = tally(values, truth, EVERYWHERE, MM)
    zero, one = keys(np.array([0, 1], np.float32)).tolist()
    assert dict(zip(*found.hits, strict=True)) == {one: 1}
    assert found.false.counts.sum() == 0
    assert dict(zip(*found.overlap, strict=True)) == {zero: 3}, "each region's anomalous voxels weigh one together"


@pytest.mark.parametrize("seed", range(4))
def test_hits_and_false_candidates_are_monai_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2) > 0.09
    values = rng.random(SHAPE).astype(np.float32) + truth * 0.2
    found = tally(values, truth, EVERYWHERE, MM)
    peaks = candidates(values, MM)
    regions = compute_multi_instance_mask(truth.astype(np.uint8), 2.5)
    assert 1 < regions.max() < ndimage.label(truth, np.ones((3, 3, 3)))[1]
    false, hits, lesions = compute_fp_tp_probs_nd(values[peaks], np.stack(peaks, 1), regions)
    assert lesions == found.regions
    for ours, theirs in ((found.false, false), (found.hits, hits[hits > 0])):
        expected = histogram(keys(theirs.astype(np.float32)))
        assert ours.keys.tolist() == expected.keys.tolist()
        assert ours.counts.tolist() == expected.counts.tolist()


def written(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def test_a_map_and_a_mask_stored_along_other_axes_meet(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((6, 7, 8), np.float32)
    truth = (values > 0.8).astype(np.uint8)
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 5
    own = written(tmp_path / "map.nii.gz", values)
    asked = Asked(own, own, written(tmp_path / "mask.nii.gz", truth[::-1], flipped), "")
    found = tally_case(asked)
    assert found.positive.counts.sum() == truth.sum()
    assert found.positive.keys.min() >= keys(np.array([0.8], np.float32))[0]
    assert found.negative.keys.max() <= keys(np.array([0.8], np.float32))[0]


def test_padding_of_a_crop_does_not_count(tmp_path: Path) -> None:
    affine = centred_affine((0, 0, 0), (8, 8, 8), 1.0)
    source = affine.copy()
    source[0, 3] += 2  # the source begins two voxels to the right
    rows = [tuple(map(tuple, a.tolist())) for a in (affine, source)]
    crop = CropGeometry(20, (8, 8, 8), rows[0], (8, 8, 8), rows[1], (0.0, 1.0)).to_json()
    own = written(tmp_path / "map.nii.gz", np.ones((8, 8, 8), np.float32), affine)
    found = tally_case(Asked(own, own, None, crop))
    assert found.negative.counts.sum() == 6 * 64
    with pytest.raises(InputError, match=r"is not the crop's \(8, 8, 8\); run infer again"):
        tally_case(Asked(written(own, np.ones((8, 8, 7), np.float32), affine), own, None, crop))


def test_a_mask_of_another_size_and_a_map_with_nan_are_told(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((6, 7, 8), np.float32)
    good = written(tmp_path / "map.nii.gz", values)
    mask = written(tmp_path / "mask.nii.gz", np.ones((6, 7, 7), np.uint8))
    with pytest.raises(InputError, match=r"mask.nii.gz: its size \(6, 7, 7\) is not that of map.nii.gz, \(6, 7, 8\)"):
        tally_case(Asked(good, good, mask, ""))
    values[1, 1, 1] = np.nan
    with pytest.raises(InputError, match=r"map.nii.gz: 1 voxels are NaN or infinite"):
        tally_case(Asked(written(good, values), good, None, ""))


def test_a_map_or_mask_that_lies_elsewhere_is_told(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((6, 7, 8), np.float32)
    image, mask = written(tmp_path / "image.nii.gz", values), np.ones((6, 7, 8), np.uint8)
    moved, mirrored = np.eye(4), np.diag([-1.0, 1, 1, 1])
    moved[2, 3] = 4
    small = written(tmp_path / "small.nii.gz", values[:5])
    with pytest.raises(
        InputError, match=r"small.nii.gz: its size \(5, 7, 8\) is not that of image.nii.gz, \(6, 7, 8\)"
    ):
        tally_case(Asked(small, image, None, ""))
    map_ = written(tmp_path / "map.nii.gz", values, moved)
    with pytest.raises(InputError, match=r"map.nii.gz: lies up to 4 mm away from image.nii.gz; run infer again"):
        tally_case(Asked(map_, image, None, ""))
    truth = written(tmp_path / "mask.nii.gz", mask, mirrored)
    with pytest.raises(InputError, match=r"mask.nii.gz: lies up to 5 mm away from image.nii.gz; give the mask of the"):
        tally_case(Asked(image, image, truth, ""))
    np.save(tmp_path / "mask.npy", mask)
    assert tally_case(Asked(map_, map_, tmp_path / "mask.npy", "")).positive.counts.sum() == 6 * 7 * 8
