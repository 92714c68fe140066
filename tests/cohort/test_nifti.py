"""Odd headers: an image is read only where every program puts it in one place, and its map lies on it in all."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.nifti import TOLERANCE, apart
from fracture_vae.cohort.volumes import read_stored, read_volume, write_map
from fracture_vae.errors import InputError

SHAPE = (3, 4, 5)
NUMBERS = np.arange(60, dtype=np.int16).reshape(SHAPE)
SIZES = [1, 2, 2, 3, 1, 1, 1, 1]
SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)


def affine(sizes: tuple[float, float, float] = (2, 2, 3), origin: tuple[float, float, float] = (1, 2, 3)) -> Any:
    made = np.diag([*sizes, 1.0])
    made[:3, 3] = origin
    return made


def sheared() -> Any:
    made = affine()
    made[:3, 2] = 0, 1.2, np.sqrt(9 - 1.2**2)
    return made


MOVED = affine(origin=(9, 2, 3))
"""Eight millimetres beside `affine`."""


def stored(
    path: Path,
    *,
    sform: Any = None,
    sform_code: int = 0,
    qform: Any = None,
    qform_code: int = 0,
    order: str = "<",
    numbers: Any = NUMBERS,
    extra: bytes = b"",
    kind: type = nib.Nifti1Header,
    **fields: Any,
) -> Path:
    """Write a NIfTI whose header holds just what is said, however unsound."""
    header = kind(endianness=order)
    header.set_data_shape(numbers.shape)
    header.set_data_dtype(numbers.dtype)
    header["magic"] = b"n+1" if kind is nib.Nifti1Header else b"n+2\0\r\n\x1a\n"
    header["vox_offset"], header["pixdim"] = int(header["sizeof_hdr"]) + 4, SIZES
    if sform is not None:
        header.set_sform(sform)
    if qform is not None:
        header.set_qform(qform)
    header["sform_code"], header["qform_code"] = sform_code, qform_code
    for name, value in fields.items():
        header[name] = value
    content = header.binaryblock + bytes(4) + numbers.astype(numbers.dtype.newbyteorder(order)).tobytes("F") + extra
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def itk(path: Path) -> Any:
    """Where SimpleITK puts an image, (4, 4) to RAS+ millimetres."""
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    made = np.eye(4)
    made[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
    made[:3, 3] = reader.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ made


BOTH = {"sform": affine(), "sform_code": 1, "qform": affine(), "qform_code": 1}
READ: dict[str, dict[str, Any]] = {
    "scanner in both forms (dcm2niix, ITK)": BOTH,
    "sform aligned, no qform (nibabel)": {"sform": affine(), "sform_code": 2},
    "qform alone": {"qform": affine(), "qform_code": 1},
    "forms of different meaning in one place": {**BOTH, "sform_code": 4},
    "forms within a rounding": {**BOTH, "qform": affine(origin=(1.01, 2, 3))},
    "a form that is there but off": {**BOTH, "qform": MOVED, "qform_code": 0},
    "neither form (nibabel without an affine, Analyze)": {},
    "neither form, left-handed": {"pixdim": [-1, *SIZES[1:]]},
    "qfac 0": {"qform": affine(), "qform_code": 1, "pixdim": [0, *SIZES[1:]]},
    "qfac -1": {"qform": affine((2, 2, -3)), "qform_code": 1, "pixdim": [-1, *SIZES[1:]]},
    "big-endian": {**BOTH, "order": ">"},
    "metres": {"sform": affine((0.002, 0.002, 0.003), (0.1, 0, 0)), "sform_code": 1, "xyzt_units": 1,
               "pixdim": [1, 0.002, 0.002, 0.003, 1, 1, 1, 1]},
    "microns": {"qform": affine((2000, 2000, 3000), (100, 0, 0)), "qform_code": 1, "xyzt_units": 3,
                "pixdim": [1, 2000, 2000, 3000, 1, 1, 1, 1]},
    "an unknown unit": {**BOTH, "xyzt_units": 7},
    "4D of one": {**BOTH, "numbers": NUMBERS[..., None]},
    "5D of one": {**BOTH, "numbers": NUMBERS[..., None, None]},
    "slope NaN": {**BOTH, "scl_slope": np.nan, "scl_inter": np.nan},
    "slope infinite": {**BOTH, "scl_slope": np.inf},
    "slope 0": {**BOTH, "scl_slope": 0},
    "numbers of eight bytes": {**BOTH, "numbers": NUMBERS.astype(np.float64)},
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_sound_header_is_read_and_its_map_lies_on_it_in_simpleitk_and_nibabel(
    tmp_path: Path, kind: str, name: str
) -> None:
    path = stored(tmp_path / name, **READ[kind])
    volume = read_volume(path)
    write_map(tmp_path / "map.nii.gz", volume.array, volume.stored, descrip="m", cal_max=60)
    near = 0.02 if "rounding" in kind else 1e-4
    assert apart(itk(path), volume.stored.affine, SHAPE) < near, "it is read where ITK puts it"
    assert apart(itk(path), itk(tmp_path / "map.nii.gz"), SHAPE) < near
    numbers = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "map.nii.gz"))).T
    np.testing.assert_array_equal(numbers, NUMBERS)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T.squeeze(), NUMBERS)
    if "xyzt_units" not in READ[kind]:  # nibabel leaves metres to its caller
        assert apart(nib.load(path).affine, nib.load(tmp_path / "map.nii.gz").affine, SHAPE) < near
    assert read_stored(path).placed == volume.stored.placed == ("form" in " ".join(READ[kind]))


def test_a_sheared_image_s_map_is_exact_and_shown_by_no_program_that_cannot_show_the_image(tmp_path: Path) -> None:
    volume = read_volume(stored(tmp_path / "a.nii", sform=sheared(), sform_code=1))
    write_map(tmp_path / "map.nii", volume.array, volume.stored, descrip="m", cal_max=60)
    np.testing.assert_allclose(nib.load(tmp_path / "map.nii").affine, sheared(), atol=1e-5)
    for name in ("a.nii", "map.nii"):
        with pytest.raises(RuntimeError, match="orthonormal"):
            SimpleITK.ReadImage(str(tmp_path / name))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "forms apart": ({**BOTH, "qform": MOVED}, "its sform and qform put it 8 mm apart"),
    "aligned sform, scanner qform apart": ({**BOTH, "sform_code": 4, "qform": MOVED}, "8 mm apart"),
    "a sheared sform and its rotation": ({**BOTH, "sform": sheared(), "qform": sheared()}, "sform and qform put it"),
    "sform of other sizes": ({"sform": affine(), "sform_code": 1, "pixdim": [1] * 8}, "pixdim's voxel sizes put it"),
    "negative pixdim": ({"pixdim": [1, -2, 2, 3, 1, 1, 1, 1]}, "(pixdim) are -2, 2, 3"),
    "zero pixdim": ({"sform": affine(), "sform_code": 1, "pixdim": [1, 0, 2, 3, 1, 1, 1, 1]}, "(pixdim) are 0, 2, 3"),
    "NaN pixdim": ({"pixdim": [1, np.nan, 2, 3, 1, 1, 1, 1]}, "(pixdim) are nan, 2, 3"),
    "odd qfac": ({"qform": affine(), "qform_code": 1, "pixdim": [-7, *SIZES[1:]]}, "qfac (pixdim[0]) is -7"),
    "NaN in srow": ({"sform": affine(), "sform_code": 1, "srow_y": [0, np.nan, 0, 0]}, "zero or singular"),
    "NaN in qoffset": ({"qform": affine(), "qform_code": 1, "qoffset_x": np.nan}, "zero or singular"),
    "no quaternion": ({"qform": affine(), "qform_code": 1, "quatern_b": 1, "quatern_c": 1}, "no rotation"),
    "unknown code": ({**BOTH, "sform_code": 9}, "sform_code is 9"),
    "negative code": ({**BOTH, "qform_code": -1}, "qform_code is -1"),
    "wrong sizeof_hdr": ({**BOTH, "sizeof_hdr": 340}, "not a NIfTI file"),
    "no magic (Analyze)": ({**BOTH, "magic": b""}, "not a NIfTI file"),
    "half of a pair": ({**BOTH, "magic": b"ni1"}, "another file (.img)"),
    "vox_offset beyond the file": ({**BOTH, "vox_offset": 1e9}, "more than the file holds"),
    "vox_offset in the header": ({**BOTH, "vox_offset": 0}, "vox_offset is 0"),
    "vox_offset NaN": ({**BOTH, "vox_offset": np.nan}, "vox_offset is nan"),
    "negative dim": ({**BOTH, "dim": [3, 3, -4, 5, 1, 1, 1, 1]}, "dim (3, 3, -4, 5"),
    "dim that overflows": ({**BOTH, "dim": [7, *[32767] * 7]}, "dim (7, 32767"),
    "no dim": ({**BOTH, "dim": [0, 3, 4, 5, 1, 1, 1, 1]}, "dim (0, 3"),
    "a terabyte": ({**BOTH, "dim": [3, 10000, 10000, 10000, 1, 1, 1, 1]}, "no 3D volume"),
    "a gigabyte": ({**BOTH, "dim": [3, 1000, 1000, 500, 1, 1, 1, 1]}, "more than the file holds"),
    "an empty axis": ({**BOTH, "dim": [3, 3, 0, 5, 1, 1, 1, 1]}, "3D (3×0×5), not 3D"),
    "two times": ({**BOTH, "numbers": np.stack([NUMBERS] * 2, 3)}, "4D (3×4×5×2)"),
    "a vector field": ({**BOTH, "numbers": np.zeros((3, 4, 5, 1, 3), np.float32)}, "5D (3×4×5×1×3)"),
    "complex": ({**BOTH, "numbers": np.zeros(SHAPE, np.complex64)}, "voxels are complex64"),
    "colour": ({**BOTH, "datatype": 128}, "export it as greyscale"),
    "no type": ({**BOTH, "datatype": 77}, "no known type (code 77)"),
    "shorter than it says": ({**BOTH, "datatype": 16}, "240 bytes of voxels"),
    "longer than it says": ({**BOTH, "datatype": 2}, "60 bytes of voxels (uint8), the file holds more"),
    "bytes after the voxels": ({**BOTH, "extra": b"x"}, "the file holds more"),
    "intercept NaN": ({**BOTH, "scl_slope": 2, "scl_inter": np.nan}, "scl_inter is nan"),
    "values beyond float32": ({**BOTH, "numbers": NUMBERS * 1e300}, "59 voxels are NaN or infinite"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_unsound_header_is_told_in_one_line(
    tmp_path: Path, kind: str, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given_, said = REFUSED[kind]
    path = stored(tmp_path / name, **given_)
    with pytest.raises(InputError) as caught:
        read_volume(path)
    if not (name.endswith("gz") and "the file holds" in said):
        assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr() == ("", ""), "no library's own words beside it"


def test_what_itk_itself_writes_of_an_oblique_image_is_read(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(NUMBERS.T)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-120, 30, 900))
    image.SetDirection((nib.eulerangles.euler2mat(3.1, 0.001, 0.3) @ np.diag([1, 1, -1])).ravel().tolist())
    SimpleITK.WriteImage(image, str(tmp_path / "a.nii.gz"))
    volume = read_volume(tmp_path / "a.nii.gz")
    assert apart(itk(tmp_path / "a.nii.gz"), volume.stored.affine, SHAPE) < 1e-3


def test_nifti_2_is_read_although_itk_cannot(tmp_path: Path) -> None:
    for order in "<>":
        path = stored(tmp_path / "a.nii", **BOTH, order=order, kind=nib.Nifti2Header)
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array, NUMBERS)
        np.testing.assert_allclose(volume.affine, nib.load(path).affine)


def test_a_stream_of_two_members_is_one_and_garbage_behind_it_is_told(tmp_path: Path) -> None:
    whole = stored(tmp_path / "a.nii", **BOTH).read_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(whole[:400]) + gzip.compress(whole[400:]))
    np.testing.assert_array_equal(read_volume(path).array, NUMBERS)
    path.write_bytes(gzip.compress(whole) + b"garbage")
    with pytest.raises(InputError, match=r"a\.nii\.gz: damaged; copy or export it again"):
        read_volume(path)


def test_a_slope_is_applied_in_either_byte_order(tmp_path: Path) -> None:
    for order in "<>":
        path = stored(tmp_path / "a.nii", **BOTH, order=order, scl_slope=2, scl_inter=-1024)
        np.testing.assert_array_equal(read_volume(path).array, NUMBERS * 2.0 - 1024)


ANGLES = st.floats(-3, 3)
CODES = st.sampled_from([0, 1, 2, 3, 4])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(ANGLES, ANGLES, ANGLES),
    sizes=st.tuples(*[st.floats(0.2, 5)] * 3),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    codes=st.tuples(CODES, CODES),
    moved=st.sampled_from([0.0, 0.01, 0.9]),
)
def test_whatever_is_accepted_lies_where_simpleitk_puts_it_and_so_does_its_map(
    tmp_path: Path, angles: Any, sizes: Any, flips: Any, codes: Any, moved: float
) -> None:
    place = np.eye(4)
    place[:3, :3] = nib.eulerangles.euler2mat(*angles) @ np.diag(np.multiply(sizes, flips))
    place[:3, 3] = 12.5, -80.25, 1000.125
    other = place.copy()
    other[0, 3] += moved * min(sizes)
    path = stored(tmp_path / "a.nii", sform=place, sform_code=codes[0], qform=other, qform_code=codes[1],
                  pixdim=[np.prod(flips), *sizes, 1, 1, 1, 1])  # fmt: skip
    if codes[0] and codes[1] and moved > TOLERANCE:
        with pytest.raises(InputError, match="mm apart"):
            read_volume(path)
        return
    volume = read_volume(path)
    write_map(tmp_path / "map.nii", volume.array, volume.stored, descrip="m", cal_max=60)
    near = TOLERANCE * min(sizes)
    assert apart(itk(path), volume.stored.affine, SHAPE) < near
    assert apart(itk(path), itk(tmp_path / "map.nii"), SHAPE) < near
    assert apart(nib.load(path).affine, nib.load(tmp_path / "map.nii").affine, SHAPE) < near
