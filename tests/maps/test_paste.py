"""Maps of crops return to the place in the scan they came from."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from fracture_vae.cohort.crop import crop_vertebrae
from fracture_vae.cohort.geometry import CropGeometry, centred_affine
from fracture_vae.cohort.manifest import Case
from fracture_vae.cohort.volumes import read_volume, to_stored, write_map
from fracture_vae.errors import InputError
from fracture_vae.maps.paste import Pasted, paste_into_source

COS, SIN = np.cos(0.35), np.sin(0.35)
OBLIQUE = np.eye(4)  # left-handed: L-P-I turned by 20° about two axes, 0.8 × 0.9 × 2.5 mm
OBLIQUE[:3, :3] = [[COS, -SIN, 0], [SIN, COS, 0], [0, 0, 1]] @ np.array([[1, 0, 0], [0, COS, -SIN], [0, SIN, COS]])
OBLIQUE[:3, :3] *= [-0.8, -0.9, -2.5]
OBLIQUE[:3, 3] = (31, 40, -17)


def hu_maps(cases: list[Case]) -> list[tuple[np.ndarray, CropGeometry]]:
    geometries = [CropGeometry.from_json(case.crop) for case in cases]
    windows = [(g.hu_window[0], g.hu_window[1] - g.hu_window[0]) for g in geometries]
    images = [low + width * read_volume(case.image).array for case, (low, width) in zip(cases, windows, strict=True)]
    return list(zip(images, geometries, strict=True))


def itk_there_and_back(ct: Path, crop: Path) -> tuple[np.ndarray, np.ndarray]:
    """SimpleITK's own linear resample onto a crop's grid and back: values and coverage, in stored order."""
    image = SimpleITK.ReadImage(str(ct), SimpleITK.sitkFloat32)
    grid = SimpleITK.ReadImage(str(crop), SimpleITK.sitkFloat32)
    nearest, linear = SimpleITK.sitkNearestNeighbor, SimpleITK.sitkLinear
    there = SimpleITK.Resample(image, grid, SimpleITK.Transform(), linear, 0.0)
    there = SimpleITK.Clamp(there, lowerBound=0, upperBound=1900)
    back = SimpleITK.Resample(there, image, SimpleITK.Transform(), linear, 0.0)
    covered = SimpleITK.Resample(there * 0 + 1, image, SimpleITK.Transform(), nearest, 0.0)
    return SimpleITK.GetArrayFromImage(back).T, SimpleITK.GetArrayFromImage(covered).T > 0


def away_from_the_border(shape: tuple[int, ...]) -> np.ndarray:
    inner = np.zeros(shape, dtype=bool)
    inner[2:-2, 2:-2, 2:-2] = True
    return inner


def in_window(hu: np.ndarray) -> np.ndarray:
    return (hu >= 0) & (hu <= 1900)


def oblique_scan(folder: Path) -> tuple[Path, Path]:
    """A smooth left-handed, oblique and anisotropic CT with two vertebrae."""
    i, j, k = np.indices((64, 60, 24))
    mask = np.zeros(i.shape, dtype=np.uint8)
    mask[20:30, 20:28, 6:10] = 20
    mask[34:42, 30:38, 14:18] = 21
    ct, labels = folder / "ct.nii.gz", folder / "mask.nii.gz"
    hu = 600 + 200 * (np.sin(i / 9) + np.cos(j / 9) + np.sin(k / 4))
    nib.save(nib.Nifti1Image(hu.astype(np.int16), OBLIQUE), ct)
    nib.save(nib.Nifti1Image(mask, OBLIQUE), labels)
    return ct, labels


def sources(real_data: Path) -> dict[str, tuple[Path, Path, str]]:
    verse, total = real_data / "ct_verse014", real_data / "ct_totalsegmentator"
    return {
        "verse014": (verse / "sub-verse014_ct.nii.gz", verse / "sub-verse014_seg-vert_msk.nii.gz", "verse"),
        "totalsegmentator": (total / "example_ct.nii.gz", total / "spine_totalseg.nii.gz", "totalsegmentator"),
    }


@pytest.mark.parametrize(("name", "count"), [("verse014", 5), ("totalsegmentator", 7)])
def test_each_crop_returns_as_truly_as_simpleitk_brings_it_back(real_data, tmp_path, name, count):
    """There and back loses what two linear interpolations lose, no more: SimpleITK's own way there and back
    differs from ours by rounding to the storage step (0.03 HU) and float32. Not so at the scan's border, where we
    leave the crop's padding out of the interpolation."""
    ct, mask, labels = sources(real_data)[name]
    cases = crop_vertebrae(ct, mask, tmp_path, labels=labels)
    assert len(cases) == count
    for case, hu_map in list(zip(cases, hu_maps(cases), strict=True))[:: count - 1]:
        pasted = paste_into_source([hu_map], ct)
        ours, valid = (to_stored(array, pasted.stored) for array in (pasted.array, pasted.valid))
        theirs, covered = itk_there_and_back(ct, case.image)
        inner = away_from_the_border(covered.shape)
        np.testing.assert_array_equal(covered[inner], valid[inner] > 0)
        difference = np.abs(ours - theirs)[inner & covered]
        assert np.percentile(difference, 99.9) < 0.05


@pytest.mark.parametrize(
    ("name", "mean_error"),
    # mean |difference| in HU where the CT is within 0–1900. VerSe014 is noisy, 1 × 1 × 2 mm and tilted 16° to the
    # crop's grid, so linear interpolation averages its noise away (measured 51.7; SimpleITK 54.7 for a single
    # crop). TotalSegmentator's 3 mm grid runs along the crop's, which is three times finer (measured 9.1).
    [("verse014", 53.0), ("totalsegmentator", 9.5)],
)
def test_a_map_of_the_crops_themselves_agrees_with_the_ct(real_data, tmp_path, name, mean_error):
    ct, mask, labels = sources(real_data)[name]
    pasted = paste_into_source(hu_maps(crop_vertebrae(ct, mask, tmp_path, labels=labels)), ct)
    source = read_volume(ct)
    where = (pasted.valid > 0) & in_window(source.array)
    difference = (pasted.array - source.array)[where]
    assert np.abs(difference).mean() < mean_error
    assert np.corrcoef(pasted.array[where], source.array[where])[0, 1] > 0.9
    # a shift of one voxel along any axis agrees less: the map lies where it should
    for axis in range(3):
        for step in (-1, 1):
            shifted = np.roll(pasted.array, step, axis)
            assert np.abs(shifted - source.array)[where].mean() > 1.2 * np.abs(difference).mean()


def test_an_oblique_left_handed_anisotropic_scan_gets_its_own_values_back(tmp_path):
    ct, mask = oblique_scan(tmp_path)
    assert np.linalg.det(OBLIQUE) < 0
    pasted = paste_into_source(hu_maps(crop_vertebrae(ct, mask, tmp_path / "crops", size=(144, 144, 144))), ct)
    source = read_volume(ct)
    error = np.abs(pasted.array - source.array)
    assert pasted.valid.all()
    # one linear interpolation is off by at most Σ |f''| h² / 8, f'' = 200/16 along k and 200/81 along i and j per
    # voxel: 2.2 HU; the way back adds at most the same, the CT's integers and the crop's step half a unit
    assert error[away_from_the_border(error.shape)].max() < 2 * 2.2 + 0.6
    # up to half a voxel beyond the outermost centres the border's value goes on: 200/9 + 200/9 + 200/4 HU a voxel
    assert error.max() < (200 / 9 + 200 / 9 + 200 / 4) / 2


@pytest.mark.parametrize("name", ["verse014", "totalsegmentator", "oblique"])
def test_a_written_map_lies_on_its_source_for_nibabel_simpleitk_and_monai(request, tmp_path, name):
    from monai.transforms import LoadImage

    if name == "oblique":
        ct, mask, labels = *oblique_scan(tmp_path), "verse"
    else:
        ct, mask, labels = sources(request.getfixturevalue("real_data"))[name]
    cases = crop_vertebrae(ct, mask, tmp_path / "crops", labels=labels, size=(32, 32, 32), spacing=2.0)
    pasted = paste_into_source(hu_maps(cases), ct)
    path = tmp_path / "map.nii.gz"
    write_map(path, pasted.array, pasted.stored, descrip="HU", cal_max=1900)

    source, written = nib.load(ct), nib.load(path)
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-5)
    np.testing.assert_allclose(written.header.get_qform(), source.affine, atol=1e-4)
    assert written.shape == source.shape

    itk_source, itk = SimpleITK.ReadImage(str(ct)), SimpleITK.ReadImage(str(path))
    for ours, theirs in (
        (itk.GetOrigin(), itk_source.GetOrigin()),
        (itk.GetSpacing(), itk_source.GetSpacing()),
        (itk.GetDirection(), itk_source.GetDirection()),
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    monai = LoadImage(image_only=True)(path)
    np.testing.assert_allclose(monai.affine, source.affine, atol=1e-5)

    array = written.get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(itk).T, array)
    np.testing.assert_array_equal(monai.numpy(), array)
    # the brightest voxel is at the same place of the world for the two conventions
    voxel = np.unravel_index(array.argmax(), array.shape)
    left_posterior = itk.TransformIndexToPhysicalPoint([int(index) for index in voxel])
    np.testing.assert_allclose(np.multiply(left_posterior, (-1, -1, 1)), (written.affine @ [*voxel, 1])[:3], atol=1e-3)


def grid(shape: tuple[int, int, int], centre: tuple[float, float, float], source: np.ndarray) -> CropGeometry:
    rows = tuple(map(tuple, centred_affine(centre, shape, 1.0).tolist()))
    eye = tuple(map(tuple, np.eye(4).tolist()))
    return CropGeometry(20, shape, rows, source.shape, eye, (0.0, 1.0))


@pytest.fixture
def source(tmp_path) -> tuple[np.ndarray, Path]:
    array = np.random.default_rng(0).normal(size=(40, 12, 12)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "s.nii")
    return array, tmp_path / "s.nii"


def test_a_crop_on_the_sources_grid_is_copied_and_the_rest_is_zero_and_invalid(source):
    array, path = source
    pasted = paste_into_source([(array[3:12, 1:10, 2:11], grid((9, 9, 9), (7, 5, 6), array))], path)
    expected = np.zeros_like(array)
    expected[3:12, 1:10, 2:11] = array[3:12, 1:10, 2:11]
    np.testing.assert_allclose(pasted.array, expected, atol=1e-5)
    np.testing.assert_array_equal(pasted.valid, expected != 0)


def blend(array: np.ndarray, path: Path) -> Pasted:
    """Two crops of 17³ filled with 0 and 1, their centres 10 voxels apart along the first axis."""
    maps = [(np.full((17, 17, 17), v, np.float32), grid((17, 17, 17), (10 + 10 * v, 5.5, 5.5), array)) for v in (0, 1)]
    return paste_into_source(maps, path)


def test_crops_blend_without_a_seam_and_each_rules_at_its_own_centre(source):
    array, path = source
    line = blend(array, path).array[:, 6, 6]
    # voxels 2–18 are the first crop's, 12–28 the second's; equally far from both centres, at 15, they weigh the same
    np.testing.assert_allclose(line[2:12], 0, atol=1e-5)
    np.testing.assert_allclose(line[19:29], 1, atol=1e-5)
    assert line[15] == pytest.approx(0.5, abs=1e-5)
    # (1 − r)⁴ by hand at 13: r = 3/8 and 7/8
    weights = (1 - 3 / 8) ** 4 + 1e-6, (1 - 7 / 8) ** 4 + 1e-6
    assert line[13] == pytest.approx(weights[1] / sum(weights), rel=1e-4)
    assert (np.diff(line[2:29]) >= -1e-6).all()


def test_slabs_make_no_difference(source, monkeypatch):
    array, path = source
    whole = blend(array, path)
    monkeypatch.setattr("fracture_vae.maps.paste._SLAB_VOXELS", 300)
    sliced = blend(array, path)
    np.testing.assert_allclose(sliced.array, whole.array, atol=1e-6)
    np.testing.assert_array_equal(sliced.valid, whole.valid)


def test_another_scan_is_told(source, tmp_path):
    array, path = source
    crop = grid((3, 3, 3), (5, 5, 5), array)
    shifted = np.eye(4)
    shifted[0, 3] = 1
    for name, image in (("moved", nib.Nifti1Image(array, shifted)), ("cut", nib.Nifti1Image(array[1:], np.eye(4)))):
        nib.save(image, tmp_path / f"{name}.nii")
        with pytest.raises(InputError, match=rf"{name}\.nii: not the scan the crops came from"):
            paste_into_source([(np.zeros((3, 3, 3), np.float32), crop)], tmp_path / f"{name}.nii")
    with pytest.raises(ValueError, match="for a crop of"):
        paste_into_source([(np.zeros((4, 4, 4), np.float32), crop)], path)


def test_a_crop_wholly_outside_leaves_nothing(source):
    array, path = source
    pasted = paste_into_source([(np.ones((3, 3, 3), np.float32), grid((3, 3, 3), (500, 5, 5), array))], path)
    assert pasted.valid.sum() == 0
