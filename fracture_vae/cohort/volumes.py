"""Reading volumes in RAS order, and writing maps back in the grid of the image they belong to."""

import os
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import DTypeLike, NDArray

from fracture_vae.errors import InputError
from fracture_vae.files import replacing

SUFFIXES = (".nii.gz", ".nii", ".npy")
_RAS = np.array([[0, 1], [1, 1], [2, 1]])
_NOT_GZIP: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stubs call it an instance
_DAMAGE = (  # what nibabel, isal and numpy raise at damaged content
    OSError, EOFError, zlib.error, _NOT_GZIP, ImageFileError, HeaderDataError, WrapStructError, OverflowError,
    ValueError, TokenError,
)  # fmt: skip
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}  # metre, millimetre, micron in the low three bits of xyzt_units


class Stored(NamedTuple):
    """How a volume lies in its file: what is needed to write a map that lies the same way.

    Attributes:
        path: the file.
        shape: voxels along the file's own axes.
        affine: (4, 4), voxel of the file to world millimetres (RAS+).
        orientation: (3, 2) nibabel orientation of the file's axes (axis, flip) relative to RAS.
        dtype: type of the stored numbers, before any slope and intercept.
    """

    path: Path
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    orientation: NDArray[np.float64]
    dtype: np.dtype[Any]

    @property
    def ras_affine(self) -> NDArray[np.float64]:
        """(4, 4), voxel of the array reordered to RAS to world millimetres."""
        return np.asarray(self.affine @ inv_ornt_aff(self.orientation, self.shape), dtype=np.float64)

    @property
    def ras_shape(self) -> tuple[int, int, int]:
        """Voxels along the axes of the array reordered to RAS."""
        i, j, k = (self.shape[int(np.flatnonzero(self.orientation[:, 0] == axis)[0])] for axis in range(3))
        return i, j, k


class Volume(NamedTuple):
    """A volume in memory.

    Attributes:
        array: (H, W, D) float32, axes in the order and direction closest to RAS; slope and intercept applied,
            otherwise unscaled (HU for CT).
        affine: (4, 4), voxel of ``array`` to world millimetres (RAS+).
        stored: how it lies in its file.
    """

    array: NDArray[np.float32]
    affine: NDArray[np.float64]
    stored: Stored


def stem(path: str | os.PathLike[str]) -> str:
    """Return the file's name without ``.nii.gz``, ``.nii`` or ``.npy``."""
    name = Path(path).name
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def is_volume(path: str | os.PathLike[str]) -> bool:
    """Whether the file's name has the suffix of a volume."""
    return Path(path).name.lower().endswith(SUFFIXES)


def read_volume(path: str | os.PathLike[str], *, allow_constant: bool = False) -> Volume:
    """Read a 3D volume from ``.nii``, ``.nii.gz`` or ``.npy``.

    Trailing axes of length one are dropped. Where the header's unit is metre or micron, the affine is converted
    to millimetres. A ``.npy`` has no geometry: its affine is the identity.

    Args:
        path: the file.
        allow_constant: accept one value everywhere, as a mask may have; in an image it is an error.

    Raises:
        InputError: missing or damaged file, not three axes, NaN or infinite values, one value everywhere,
            a zero or singular affine, a ``.npy`` that needs pickle, another suffix.
    """
    file = _existing(path)
    if file.name.lower().endswith(".npy"):
        array, affine, dtype = _read_npy(file)
    else:
        array, affine, dtype = _read_nifti(file)
    if not np.isfinite(array).all():
        count = array.size - int(np.count_nonzero(np.isfinite(array)))
        raise InputError(f"{file}: {count} voxels are NaN or infinite; replace them (in CT, by -1024 HU)")
    if not allow_constant and array.min() == array.max():
        raise InputError(f"{file}: every voxel is {array.flat[0]:g}; this is no image, export it again")
    stored = _stored(file, array.shape, affine, dtype)
    ras = np.ascontiguousarray(apply_orientation(array, stored.orientation))
    return Volume(ras, stored.ras_affine, stored)


def read_stored(path: str | os.PathLike[str]) -> Stored:
    """Return how a volume lies in its file from its header alone, without reading voxels.

    Raises:
        InputError: as `read_volume`, as far as the header shows it.
    """
    file = _existing(path)
    if file.name.lower().endswith(".npy"):
        array = _load_npy(file, mmap_mode="r")
        return _stored(file, array.shape, np.eye(4), array.dtype)
    try:
        image = nib.squeeze_image(nib.load(file))
        affine = _affine_in_mm(image)
    except _DAMAGE as error:
        raise _damaged(file) from error
    return _stored(file, image.shape, affine, image.get_data_dtype())


def to_stored(array: NDArray[Any], stored: Stored) -> NDArray[Any]:
    """Turn an array in RAS order (as `Volume.array`) back to the axis order and directions of its file.

    Raises:
        ValueError: the array is not of the stored image's size.
    """
    if array.shape != stored.ras_shape:
        raise ValueError(f"array of {array.shape} does not lie in the grid {stored.ras_shape} of {stored.path.name}")
    return np.asarray(apply_orientation(array, ornt_transform(_RAS, stored.orientation)))


def write_map(
    path: str | os.PathLike[str],
    array_ras: NDArray[Any],
    stored: Stored,
    *,
    descrip: str,
    cal_max: float,
    cal_min: float = 0.0,
    dtype: DTypeLike = np.float32,
) -> None:
    """Write an array in RAS order as NIfTI in the grid, orientation and affine of the image it belongs to.

    Args:
        path: target, ``.nii.gz`` or ``.nii``; written whole or not at all.
        array_ras: (H, W, D) in the order of `Volume.array`.
        stored: the image's `Volume.stored`.
        descrip: what the numbers are and their unit (at most 79 bytes are kept).
        cal_max: upper end of the display range.
        cal_min: lower end of the display range.
        dtype: type on disk; the caller sees to it that the values fit.
    """
    array = to_stored(array_ras, stored)
    write_nifti(path, array, stored.affine, descrip=descrip, cal_max=cal_max, cal_min=cal_min, dtype=dtype)


def write_nifti(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    descrip: str,
    cal_max: float,
    cal_min: float = 0.0,
    dtype: DTypeLike = np.float32,
    slope: float | None = None,
) -> None:
    """Write an array as NIfTI with sform, qform and units (mm) set.

    With ``slope`` the file holds ``array / slope`` rounded to ``dtype`` and says so in ``scl_slope``. A sheared
    affine is exact in the sform only: a qform cannot hold shear.
    """
    numbers = array if slope is None else np.rint(array / slope)
    image = nib.Nifti1Image(np.asarray(numbers, dtype=dtype), affine)
    header = image.header
    header.set_slope_inter(slope or 1.0, 0.0)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    header.set_xyzt_units("mm")
    header["descrip"] = descrip.encode("ascii", "replace")[:79]
    header["cal_min"], header["cal_max"] = cal_min, cal_max
    with replacing(path) as temporary:
        if temporary.name.lower().endswith(".gz"):
            # ISA-L writes gzip like any other, as small as zlib's level 1 and several times faster
            with temporary.open("wb") as file, igzip.IGzipFile("", "wb", 1, file, mtime=0) as compressed:
                image.to_stream(compressed)
        else:
            nib.save(image, temporary)


def _existing(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: no such file; check the path")
    if not is_volume(file):
        raise InputError(f"{file}: not a volume; give one of {', '.join(SUFFIXES)}")
    return file


def _damaged(file: Path) -> InputError:
    return InputError(f"{file}: damaged or not a NIfTI file; copy or export it again")


def _read_nifti(file: Path) -> tuple[NDArray[np.float32], NDArray[np.float64], np.dtype[Any]]:
    """Read voxels, affine (mm) and stored type; the whole gzip stream is read, so that its checksum is verified."""
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = igzip.decompress(content)
        nifti2 = content[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # sizeof_hdr 540, either byte order
        image = (nib.Nifti2Image if nifti2 else nib.Nifti1Image).from_bytes(content)
        image = nib.squeeze_image(image)
        dtype = image.get_data_dtype()
        if dtype.kind not in "iufb":
            raise InputError(f"{file}: voxels are {dtype}, not single real numbers; export it as greyscale")
        _check_axes(file, image.shape)
        array = image.get_fdata(dtype=np.float32, caching="unchanged")
        affine = _affine_in_mm(image)
    except InputError:
        raise
    except _DAMAGE as error:
        raise _damaged(file) from error
    return array, affine, dtype


def _affine_in_mm(image: Any) -> NDArray[np.float64]:
    unit = int(image.header["xyzt_units"]) & 7  # not get_xyzt_units, which fails at codes outside the standard
    scale = np.diag([_MM_PER_UNIT.get(unit, 1.0)] * 3 + [1.0])
    return np.asarray(scale @ image.affine, dtype=np.float64)


def _load_npy(file: Path, mmap_mode: Any = None) -> NDArray[Any]:
    try:
        array = np.load(file, mmap_mode=mmap_mode, allow_pickle=False)
    except _DAMAGE as error:
        if "pickle" in str(error) or "Python objects" in str(error):
            raise InputError(f"{file}: holds Python objects or is no .npy file; save a plain float32 array") from error
        raise InputError(f"{file}: damaged or not a .npy file; save it again with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iufb":
        raise InputError(f"{file}: not one array of real numbers; save a plain float32 array")
    return array


def _read_npy(file: Path) -> tuple[NDArray[np.float32], NDArray[np.float64], np.dtype[Any]]:
    array = _load_npy(file)
    _check_axes(file, array.shape)
    return array.astype(np.float32), np.eye(4), array.dtype


def _check_axes(file: Path, shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or 0 in shape:
        sizes = "×".join(map(str, shape))
        raise InputError(f"{file}: {len(shape)}D ({sizes}), not 3D; split or export it as one volume")


def _stored(file: Path, shape: tuple[int, ...], affine: NDArray[np.float64], dtype: np.dtype[Any]) -> Stored:
    _check_axes(file, shape)
    linear = affine[:3, :3]
    lengths = np.linalg.norm(linear, axis=0)
    flat = not np.isfinite(affine).all() or (lengths == 0).any()
    if flat or abs(np.linalg.det(linear / lengths)) < 1e-3:  # 1e-3: axes within 0.06° of one plane
        raise InputError(f"{file}: its affine is zero or singular, so its voxels have no place; repair the header")
    return Stored(file, (shape[0], shape[1], shape[2]), affine, io_orientation(affine), dtype)
