"""Volumes are read in RAS order whatever their storage, maps go back, and bad files are told in a line."""

import gc
import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from fracture_vae.cohort.volumes import read_stored, read_volume, stem, to_stored, write_map, write_nifti
from fracture_vae.errors import InputError

AXES = st.permutations([0, 1, 2])
FLIPS = st.tuples(*[st.sampled_from([-1, 1])] * 3)
SHAPE = (3, 4, 5)
NUMBERS = np.arange(60, dtype=np.int16).reshape(SHAPE)


def saved(path: Path, array=NUMBERS, affine=None) -> Path:
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def oriented(codes: tuple[str, str, str]) -> np.ndarray:
    """An affine whose voxel axes run along the given anatomical directions, 2 mm, off the origin."""
    affine = np.zeros((4, 4))
    for column, code in enumerate(codes):
        row = next(i for i, pair in enumerate(("RL", "AP", "SI")) if code in pair)
        affine[row, column] = 2.0 if code in "RAS" else -2.0
    affine[:, 3] = (10, -20, 30, 1)
    return affine


@pytest.mark.parametrize("codes", [("P", "I", "R"), ("L", "P", "S"), ("R", "A", "S"), ("S", "L", "A")])
def test_a_voxel_keeps_its_place_in_the_world_whatever_the_storage(tmp_path, codes):
    affine = oriented(codes)
    volume = read_volume(saved(tmp_path / "a.nii.gz", affine=affine))

    stored_voxel = np.array([2, 1, 3, 1])
    world = affine @ stored_voxel
    ras_voxel = np.rint(np.linalg.inv(volume.affine) @ world).astype(int)[:3]

    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    assert volume.array.dtype == np.float32
    assert volume.array.flags.c_contiguous
    assert volume.array[tuple(ras_voxel)] == NUMBERS[2, 1, 3]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(axes=AXES, flips=FLIPS, tilt=st.floats(-0.3, 0.3), spacing=st.tuples(*[st.floats(0.2, 5)] * 3))
def test_a_map_written_back_lies_voxel_for_voxel_on_its_source(tmp_path, axes, flips, tilt, spacing):
    cos, sin = np.cos(tilt), np.sin(tilt)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, cos, -sin], [0, sin, cos]]
    )
    affine = np.eye(4)
    affine[:3, :3] = (rotation @ np.eye(3)[:, list(axes)]) * flips * spacing
    affine[:3, 3] = (12.5, -80.25, 1000.125)
    source = saved(tmp_path / "source.nii", affine=affine)

    volume = read_volume(source)
    write_map(tmp_path / "map.nii", volume.array, volume.stored, descrip="same", cal_max=59)
    written = nib.load(tmp_path / "map.nii")

    np.testing.assert_array_equal(to_stored(volume.array, volume.stored), NUMBERS)
    np.testing.assert_array_equal(written.get_fdata(), NUMBERS)
    np.testing.assert_allclose(written.affine, nib.load(source).affine, atol=1e-5)
    # a quaternion in float32 holds a rotation near 180° to 1e-3
    np.testing.assert_allclose(written.header.get_qform(), written.header.get_sform(), atol=5e-3)
    assert volume.stored.ras_shape == volume.array.shape


def test_a_written_map_says_unit_range_and_meaning(tmp_path):
    volume = read_volume(saved(tmp_path / "a.nii.gz", affine=oriented(("P", "I", "R"))))
    write_map(tmp_path / "m.nii.gz", volume.array, volume.stored, descrip="error, 0..1", cal_max=0.5, cal_min=-0.5)
    header = nib.load(tmp_path / "m.nii.gz").header
    assert header.get_xyzt_units()[0] == "mm"
    assert header["descrip"].item() == b"error, 0..1"
    assert (header["cal_min"], header["cal_max"]) == (-0.5, 0.5)
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    assert header.get_data_dtype() == np.float32


def test_nibabel_simpleitk_and_monai_see_a_map_in_the_same_place(tmp_path):
    from monai.transforms import LoadImage

    affine = oriented(("P", "I", "R"))
    affine[:3, :3] = affine[:3, :3] @ np.diag([1, 0.5, 2])
    volume = read_volume(saved(tmp_path / "a.nii.gz", affine=affine))
    path = tmp_path / "m.nii.gz"
    write_map(path, volume.array, volume.stored, descrip="m", cal_max=1)

    itk = SimpleITK.ReadImage(str(path))
    itk_affine = np.eye(4)
    itk_affine[:3, :3] = np.reshape(itk.GetDirection(), (3, 3)) * itk.GetSpacing()
    itk_affine[:3, 3] = itk.GetOrigin()
    lps_to_ras = np.diag([-1, -1, 1, 1])
    monai = LoadImage(image_only=True)(path)

    np.testing.assert_allclose(nib.load(path).affine, affine, atol=1e-5)
    np.testing.assert_allclose(lps_to_ras @ itk_affine, affine, atol=1e-5)
    np.testing.assert_allclose(monai.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(itk).T, NUMBERS)
    np.testing.assert_array_equal(monai.numpy(), NUMBERS)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nib.Nifti1Image(NUMBERS, np.eye(4))
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").array, NUMBERS * 2.0 - 1024)


def test_a_volume_stored_with_a_slope_comes_back_within_half_a_step(tmp_path):
    values = np.linspace(0, 1, 60).reshape(SHAPE)
    write_nifti(tmp_path / "a.nii", values, np.eye(4), descrip="", cal_max=1, dtype=np.uint16, slope=2.0**-15)
    read = read_volume(tmp_path / "a.nii").array
    assert np.abs(read - values).max() <= 2.0**-16
    assert (read.min(), read.max()) == (0, 1)


def test_metres_become_millimetres(tmp_path):
    image = nib.Nifti1Image(NUMBERS, np.diag([0.001, 0.001, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").affine, np.diag([1, 1, 2, 1]), rtol=1e-6)


def test_a_trailing_axis_of_one_is_dropped(tmp_path):
    assert read_volume(saved(tmp_path / "a.nii", NUMBERS[..., None])).array.shape == SHAPE


def test_an_npy_has_no_geometry(tmp_path):
    np.save(tmp_path / "a.npy", NUMBERS)
    volume = read_volume(tmp_path / "a.npy")
    np.testing.assert_array_equal(volume.array, NUMBERS)
    np.testing.assert_array_equal(volume.affine, np.eye(4))


@pytest.mark.parametrize("array", [np.asfortranarray(NUMBERS), NUMBERS.astype(">i2"), NUMBERS.astype("f2")])
def test_an_npy_of_any_order_and_type_of_real_numbers_is_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.npy").array, NUMBERS)


@pytest.mark.parametrize("shape", [(10**4, 10**4, 10**4), (100, 100, 100), (3, 4, 4)])
def test_an_npy_of_another_shape_than_its_file_holds_is_told_and_takes_no_memory(tmp_path, shape):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": shape})
        file.write(NUMBERS.tobytes())
    with pytest.raises(InputError, match=r"a\.npy: (damaged|holds more than one volume)"):
        read_volume(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.npy"])
def test_the_header_alone_tells_the_same_storage(tmp_path, name):
    if name.endswith(".npy"):
        np.save(tmp_path / name, NUMBERS)
    else:
        saved(tmp_path / name, affine=oriented(("P", "I", "R")))
    alone, read = read_stored(tmp_path / name), read_volume(tmp_path / name).stored
    assert (alone.path, alone.shape, alone.dtype) == (read.path, read.shape, read.dtype)
    np.testing.assert_array_equal(alone.affine, read.affine)
    np.testing.assert_array_equal(alone.orientation, read.orientation)
    np.testing.assert_array_equal(
        alone.ras_affine, alone.affine @ inv_ornt_aff(ornt_transform(alone.orientation, axcodes2ornt("RAS")), SHAPE)
    )


def damaged(kind: str, folder: Path) -> Path:
    path = folder / "bad.nii.gz"
    if kind == "truncated":
        whole = saved(path, np.random.default_rng(0).integers(0, 999, (20, 20, 20), dtype=np.int16)).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "short trailer":
        path.write_bytes(saved(path).read_bytes()[:-5])
    elif kind == "flipped bit":
        content = bytearray(saved(path).read_bytes())
        content[-6] ^= 1  # in the checksum
        path.write_bytes(bytes(content))
    elif kind == "text":
        path.write_text("not a scan")
    elif kind == "zipped text":
        path.write_bytes(gzip.compress(b"not a scan"))
    elif kind == "empty file":
        path.touch()
    elif kind == "4D":
        saved(path, np.zeros((3, 4, 5, 2), dtype=np.int16))
    elif kind == "2D":
        saved(path, NUMBERS[0])
    elif kind == "colour":
        saved(path, np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))
    elif kind in ("NaN", "Inf"):
        array = NUMBERS.astype(np.float32)
        array[1, 2, 3] = np.nan if kind == "NaN" else np.inf
        saved(path, array)
    elif kind == "constant":
        saved(path, np.full(SHAPE, 7, dtype=np.int16))
    elif kind in ("zero affine", "singular affine"):
        image = nib.Nifti1Image(NUMBERS, np.eye(4))
        rows = np.zeros((4, 4)) if kind == "zero affine" else np.diag([1.0, 1.0, 0.0, 1.0])
        image.header["sform_code"], image.header["vox_offset"] = 1, 352
        for name, row in zip(("srow_x", "srow_y", "srow_z"), rows, strict=False):
            image.header[name] = row
        path.write_bytes(gzip.compress(bytes(image.header.binaryblock) + b"\0" * 4 + NUMBERS.tobytes(order="F")))
    elif kind == "pickled npy":
        path = folder / "bad.npy"
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == "truncated npy":
        path = folder / "bad.npy"
        np.save(path, NUMBERS)
        path.write_bytes(path.read_bytes()[:-9])
    elif kind == "4D npy":
        path = folder / "bad.npy"
        np.save(path, NUMBERS[None])
    elif kind == "suffix":
        path = folder / "bad.png"
        path.touch()
    elif kind == "missing":
        path = folder / "nowhere.nii.gz"
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("truncated", "damaged"),
        ("short trailer", "damaged"),
        ("flipped bit", "damaged"),
        ("text", "not a NIfTI"),
        ("zipped text", "not a NIfTI"),
        ("empty file", "damaged"),
        ("4D", "4D"),
        ("2D", "2D"),
        ("colour", "greyscale"),
        ("NaN", "1 voxels are NaN or infinite"),
        ("Inf", "1 voxels are NaN or infinite"),
        ("constant", "every voxel is 7"),
        ("zero affine", "zero or singular"),
        ("singular affine", "zero or singular"),
        ("pickled npy", "Python objects"),
        ("truncated npy", "damaged"),
        ("4D npy", "4D"),
        ("suffix", "not a volume"),
        ("missing", "no such file"),
    ],
)
def test_a_bad_file_is_told_in_one_line_with_its_name(tmp_path, kind, said):
    path = damaged(kind, tmp_path)
    with pytest.raises(InputError) as caught:
        read_volume(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert said in message


def test_a_constant_mask_is_allowed_where_asked(tmp_path):
    path = saved(tmp_path / "m.nii", np.zeros(SHAPE, dtype=np.uint8))
    assert read_volume(path, allow_constant=True).array.max() == 0


def test_an_array_of_another_size_is_refused(tmp_path):
    stored = read_volume(saved(tmp_path / "a.nii")).stored
    with pytest.raises(ValueError, match="does not lie in the grid"):
        to_stored(np.zeros((2, 2, 2)), stored)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.b.nii.gz", "a.b"), ("x.NII", "x"), ("y.npy", "y"), ("z.txt", "z.txt")]
)
def test_stem(name, expected):
    assert stem(f"folder/{name}") == expected


def test_threads_read_npy_at_once(tmp_path: Path) -> None:
    """The garbage collector may let another thread run in the middle of numpy's parsing of a header."""
    np.save(tmp_path / "v.npy", np.random.default_rng(0).random((4, 4, 4), dtype=np.float32))
    before = gc.get_threshold()
    yields = lambda *_: time.sleep(1e-5)  # noqa: E731
    gc.callbacks.append(yields)
    gc.set_threshold(20, 5, 5)
    try:
        with ThreadPoolExecutor(4) as pool:
            volumes = list(pool.map(read_volume, [tmp_path / "v.npy"] * 400))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(yields)
    assert len({volume.array.tobytes() for volume in volumes}) == 1
