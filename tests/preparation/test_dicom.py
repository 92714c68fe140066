"""A DICOM series comes in with its orientation and its HU exactly, or with one clear error."""

import locale

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from fracture_vae.cohort.crop import CropSettings
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.preparation.dicom import check_slices, convert, find_series
from fracture_vae.preparation.layouts import find_scans
from fracture_vae.preparation.run import prepare
from fracture_vae.preparation.work import Settings

COS, SIN = np.cos(0.3), np.sin(0.3)
AXIAL = ((1, 0, 0), (0, 1, 0))
SAGITTAL = ((0, 1, 0), (0, 0, -1))
OBLIQUE = ((COS, 0, SIN), (0, 1, 0))


@pytest.fixture(autouse=True)
def _locale():
    """Writing DICOM leaves the process with the locale C, in which other tests' text files are ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def write_series(folder, plane=AXIAL, count=6, spacing=(0.7, 0.9, 2.5), skip=(), tilt=0.0, uid="1.2.3", **tags):
    """Write slices of 8 × 10 voxels of random HU with a rescale of −1024; return the voxels (slice, row, column)."""
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(plane, dtype=float)
    normal = np.cross(row, column)
    hu = np.random.default_rng(0).integers(-1000, 1800, (count, 10, 8)).astype(np.int16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(count):
        if index in skip:
            continue
        slice_ = sitk.GetImageFromArray(hu[index : index + 1])
        slice_.SetSpacing((*spacing[:2], spacing[2]))
        position = np.array([-40, 25, -310]) + normal * index * spacing[2] + column * index * tilt
        values = {
            "0008|0060": "CT",
            "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
            "0010|0020": "PAT 7",
            "0020|000d": "1.2.9",
            "0020|000e": uid,
            "0020|0011": "3",
            "0008|0018": f"{uid}.{index + 1}",
            "0020|0013": str(index + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(f"{value:.6f}" for value in (*row, *column)),
            "0028|1052": "-1024",
            "0028|1053": "1",
            **tags,
        }
        for key, value in values.items():
            slice_.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{uid.replace('.', '_')}_{(index * 5) % 13}.dcm"))  # names out of order
        writer.Execute(slice_)
    return hu


def mask_of(folder, path):
    """A mask of two vertebrae on the grid of a folder's first series, as another program would write it."""
    series = find_series(folder)[0][0]
    convert(folder, series.uid, path)
    image = nib.load(path)
    numbers = np.zeros(image.shape, dtype=np.uint8)
    numbers[:, :, :3], numbers[:, :, 3:] = 21, 20
    nib.save(nib.Nifti1Image(numbers, image.affine), path)


@pytest.mark.parametrize("plane", [AXIAL, SAGITTAL, OBLIQUE])
def test_hu_and_place_of_every_voxel_return_exactly(tmp_path, plane):
    hu = write_series(tmp_path / "d", plane)
    (series,), passed = find_series(tmp_path / "d")
    assert (series.patient_id, series.number, series.size, passed) == ("PAT 7", "3", (8, 10, 6), {})
    convert(tmp_path / "d", series.uid, tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    row, column = np.array(plane, dtype=float)
    to_voxel = np.linalg.inv(volume.affine)
    for index, (slice_, y, x) in enumerate([(0, 0, 0), (5, 9, 7), (2, 4, 6), (3, 8, 1)]):
        lps = np.array([-40, 25, -310]) + row * x * 0.7 + column * y * 0.9 + np.cross(row, column) * slice_ * 2.5
        voxel = to_voxel @ [-lps[0], -lps[1], lps[2], 1]
        np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-3)
        assert volume.array[tuple(np.rint(voxel[:3]).astype(int))] == hu[slice_, y, x], index
    assert sorted(volume.array.ravel()) == sorted(hu.ravel())


def test_the_copy_holds_nothing_of_the_patients_header(tmp_path):
    write_series(tmp_path / "d", **{"0010|0010": "Doe^Jane"})
    convert(tmp_path / "d", "1.2.3", tmp_path / "ct.nii")
    content = (tmp_path / "ct.nii").read_bytes()
    assert b"Doe" not in content
    assert b"PAT 7" not in content


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"skip": (3,)}, r"series 3: slices 3 and 4 lie 5\.00 mm apart, the others 2\.50 mm"),
        ({"tilt": 0.5}, r"gantry tilt of 11\.3°"),
    ],
)
def test_missing_slices_and_a_tilted_gantry_are_one_line(tmp_path, settings, said):
    write_series(tmp_path / "d", count=8, **settings)
    with pytest.raises(InputError, match=said) as caught:
        convert(tmp_path / "d", "1.2.3", tmp_path / "ct.nii.gz")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ct.nii.gz").exists()


def test_slices_of_two_phases_or_planes():
    axial = np.tile([1, 0, 0, 0, 1, 0], (4, 1)).astype(float)
    twice = np.array([[0, 0, z] for z in (0, 1, 1, 2)], dtype=float)
    with pytest.raises(InputError, match="slices 2 and 3 lie in one place"):
        check_slices(twice, axial, "d")
    turned = axial.copy()
    turned[2] = [0, 1, 0, 0, 0, 1]
    with pytest.raises(InputError, match="do not lie parallel"):
        check_slices(np.array([[0, 0, z] for z in range(4)], dtype=float), turned, "d")
    even = np.array([[0, 0, z] for z in (0, 1.251, 2.5, 3.749)])  # positions rounded by the scanner
    assert check_slices(even, axial, "d") == pytest.approx(3.749 / 3)


def test_series_are_found_with_their_masks_and_scouts_are_passed_over(tmp_path):
    write_series(tmp_path / "p1")
    (tmp_path / "mask").mkdir()
    mask_of(tmp_path / "p1", tmp_path / "mask" / "p1.nii.gz")
    write_series(tmp_path / "p2", uid="1.2.4", **{"0010|0020": ""})
    mask_of(tmp_path / "p2", tmp_path / "p2" / "vertebrae.nii.gz")
    write_series(
        tmp_path / "p2", count=1, uid="1.2.5", **{"0008|0008": "ORIGINAL\\PRIMARY\\LOCALIZER", "0020|0011": "1"}
    )
    write_series(tmp_path / "p3", uid="1.2.6", **{"0008|0060": "MR"})
    write_series(tmp_path / "p4", uid="1.2.7")
    found = find_scans(tmp_path)
    assert {(s.name, s.patient_id, s.mask.name, s.series) for s in found.scans} == {
        ("p1", "PAT 7", "p1.nii.gz", "1.2.3"),
        ("p2", "p2", "vertebrae.nii.gz", "1.2.4"),
    }
    assert found.failed == {str(tmp_path / "p4"): "no mask of 8×10×6 voxels; put p4.nii.gz beside the folder"}
    assert found.passed == {
        f"{tmp_path / 'p2'} series 1 (1 images)": "a scout or localiser",
        f"{tmp_path / 'p3'} series 3 (6 images)": "modality MR, not CT",
    }


def test_two_series_in_one_folder_each_take_the_mask_of_their_size(tmp_path):
    write_series(tmp_path / "d", uid="1.2.3")
    mask_of(tmp_path / "d", tmp_path / "six.nii.gz")
    write_series(tmp_path / "e", count=7, uid="1.2.4", **{"0020|0011": "4"})
    mask_of(tmp_path / "e", tmp_path / "seven.nii.gz")
    for path in [*(tmp_path / "e").iterdir()]:
        path.rename(tmp_path / "d" / path.name)
    (tmp_path / "six.nii.gz").rename(tmp_path / "d" / "six.nii.gz")
    (tmp_path / "seven.nii.gz").rename(tmp_path / "d" / "seven.nii.gz")
    assert {(s.name, s.mask.name) for s in find_scans(tmp_path).scans} == {
        ("d_3", "six.nii.gz"),
        ("d_4", "seven.nii.gz"),
    }


def test_structures_segmented_from_dicom_lie_in_or_beside_the_series(tmp_path):
    write_series(tmp_path / "p1" / "dicom")
    mask_of(tmp_path / "p1" / "dicom", tmp_path / "m.nii.gz")
    (tmp_path / "p1" / "segmentations").mkdir()
    (tmp_path / "m.nii.gz").rename(tmp_path / "p1" / "segmentations" / "vertebrae_L1.nii.gz")
    found = find_scans(tmp_path)
    (scan,) = found.scans
    assert (scan.ct.name, [level for level, _ in scan.structures]) == ("dicom", ["L1"])
    assert (found.failed, found.passed) == ({}, {})


def test_a_series_goes_through_to_crops_and_is_not_done_again(tmp_path):
    source = tmp_path / "study"
    hu = write_series(source / "p1", count=12, spacing=(4, 4, 4))
    mask_of(source / "p1", source / "p1.nii.gz")
    settings = Settings(crop=CropSettings((8, 8, 8), 4.0, (-1000.0, 1800.0)))
    before = sorted(path.name for path in source.rglob("*"))
    result = prepare(source, tmp_path / "out", settings)
    assert result.failed == {}
    assert [(case.case_id, case.patient_id) for case in result.cases] == [("p1_L1", "PAT 7"), ("p1_L2", "PAT 7")]
    assert result.cases[0].source_image == tmp_path / "out" / "sources" / "p1.nii.gz"
    copy = nib.load(result.cases[0].source_image)
    np.testing.assert_array_equal(np.asarray(copy.dataobj).transpose(2, 1, 0), hu)
    assert prepare(source, tmp_path / "out", settings).unchanged == 1
    assert sorted(path.name for path in source.rglob("*")) == before
    write_series(source / "p1", count=12, spacing=(4, 4, 4), **{"0010|0020": "PAT 8"})
    assert prepare(source, tmp_path / "out", settings).unchanged == 0
