"""Reading volumes in RAS order, and writing maps back in the grid of the image they belong to."""

import os
import threading
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import DTypeLike, NDArray

from fracture_vae.cohort.nifti import MAX_VOXELS, TOLERANCE, Header, apart, read_header, read_voxels, require_3d
from fracture_vae.errors import InputError
from fracture_vae.files import replacing

SUFFIXES = (".nii.gz", ".nii", ".npy")
_RAS = np.array([[0, 1], [1, 1], [2, 1]])
_PARSING = threading.Lock()
"""Held while numpy parses a header: Python 3.11.7 fails (SystemError) where two threads build syntax trees at once."""


class Stored(NamedTuple):
    """How a volume lies in its file: what is needed to write a map that lies the same way.

    Attributes:
        path: the file.
        shape: voxels along the file's own axes.
        affine: (4, 4), voxel of the file to world millimetres (RAS+).
        orientation: (3, 2) nibabel orientation of the file's axes (axis, flip) relative to RAS.
        dtype: type of the stored numbers, before any slope and intercept.
        placed: False for a NIfTI whose header says neither sform nor qform: programs differ in where they put it.
    """

    path: Path
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    orientation: NDArray[np.float64]
    dtype: np.dtype[Any]
    placed: bool = True

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
    to millimetres. A NIfTI that says neither sform nor qform lies where ITK puts it. A ``.npy`` has no geometry: its
    affine is the identity.

    Args:
        path: the file.
        allow_constant: accept one value everywhere, as a mask may have; in an image it is an error.

    Raises:
        InputError: missing or damaged file, not three axes, NaN or infinite values, one value everywhere,
            a zero or singular affine, one that nibabel and ITK read differently (see `nifti`), voxels that are not
            those the header says, a ``.npy`` that needs pickle, another suffix.
    """
    file = _existing(path)
    if _is_npy(file):
        mapped = _map_npy(file)
        stored, array = _without_place(file, mapped), _in_memory(file, mapped)
    else:
        header = read_header(file)
        stored, array = _stored(file, header), read_voxels(file, header)
    if not np.isfinite(array).all():
        count = array.size - int(np.count_nonzero(np.isfinite(array)))
        raise InputError(f"{file}: {count} voxels are NaN or infinite; replace them (in CT, by -1024 HU)")
    if not allow_constant and array.min() == array.max():
        raise InputError(f"{file}: every voxel is {array.flat[0]:g}; this is no image, export it again")
    ras = _contiguous(apply_orientation(array, stored.orientation))
    return Volume(ras, stored.ras_affine, stored)


def read_stored(path: str | os.PathLike[str]) -> Stored:
    """Return how a volume lies in its file from its header alone, without reading voxels.

    Raises:
        InputError: as `read_volume`, as far as the header shows it.
    """
    file = _existing(path)
    return _without_place(file, _map_npy(file)) if _is_npy(file) else _stored(file, read_header(file))


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
    write_nifti(
        path,
        array,
        stored.affine,
        descrip=descrip,
        cal_max=cal_max,
        cal_min=cal_min,
        dtype=dtype,
        placed=stored.placed,
    )


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
    placed: bool = True,
) -> None:
    """Write an array as NIfTI with sform, qform and units (mm) set.

    With ``slope`` the file holds ``array / slope`` rounded to ``dtype`` and says so in ``scl_slope``. A sheared
    affine has an sform only: a qform cannot hold shear, and programs that cannot either shall not show the map beside
    its image. An image that is not ``placed`` has neither form and keeps its voxel sizes, so that every program puts
    the map wherever it puts the image.
    """
    numbers = array if slope is None else np.rint(array / slope)
    stored = _contiguous(np.asarray(numbers, dtype=dtype).T).T  # the first axis fastest, as the file has it
    image = nib.Nifti1Image(stored, affine if placed else None)
    header = image.header
    header.set_slope_inter(slope or 1.0, 0.0)
    sizes = voxel_sizes(affine)
    header.set_zooms(sizes)
    if placed:
        image.set_sform(affine, code="scanner")
        image.set_qform(affine, code="scanner")
        if apart(header.get_qform(), affine, array.shape) > TOLERANCE * sizes.min():
            image.set_qform(None, code="unknown")
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


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array with its last axis fastest in memory, as `numpy.ascontiguousarray` does.

    NIfTI stores the first axis fastest. Turning that round plane by plane, each in the processor's cache, takes less
    than half the time at 128³.
    """
    if array.ndim != 3 or abs(array.strides[0]) != array.itemsize:
        return np.ascontiguousarray(array)
    turned = np.empty(array.shape, array.dtype)
    for j in range(array.shape[1]):
        turned[:, j] = array[:, j].T.copy().T
    return turned


def _existing(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    if not os.path.isfile(file):  # noqa: PTH113 - Path.is_file raises at a name that is too long
        what = "a folder, not a file" if os.path.isdir(file) else "no such file"  # noqa: PTH112
        raise InputError(f"{file}: {what}; check the path")
    if not is_volume(file):
        raise InputError(f"{file}: not a volume; give one of {', '.join(SUFFIXES)}")
    return file


def _is_npy(file: Path) -> bool:
    return file.name.lower().endswith(".npy")


def _map_npy(file: Path) -> NDArray[Any]:
    """Return the array of a ``.npy`` mapped from the disk, so that a shape the file cannot hold takes no memory."""
    try:
        with _PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers written by Python 2
            array = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged bytes lead numpy's parser of headers into whatever they spell
        if "pickle" in str(error) or "Python objects" in str(error):
            raise InputError(f"{file}: holds Python objects or is no .npy file; save a plain float32 array") from error
        if isinstance(error, OSError) and error.strerror:
            raise InputError(
                f"{file}: cannot be read ({error.strerror}); check its permissions and the disk"
            ) from error
        raise InputError(f"{file}: damaged or not a .npy file; save it again with numpy.save") from error
    if not isinstance(array, np.memmap) or array.dtype.kind not in "iufb":
        raise InputError(f"{file}: not one array of real numbers; save a plain float32 array")
    require_3d(file, array.shape)
    if array.size > MAX_VOXELS or array.offset + array.nbytes != file.stat().st_size:
        raise InputError(f"{file}: holds more than one volume of {array.shape}; save one array a file")
    return array


def _in_memory(file: Path, mapped: NDArray[Any]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is told with the other such voxels
            return np.array(mapped, dtype=np.float32)
    except MemoryError as error:
        raise InputError(f"{file}: does not fit into memory; crop or resample it first") from error


def _without_place(file: Path, array: NDArray[Any]) -> Stored:
    shape = (array.shape[0], array.shape[1], array.shape[2])
    return Stored(file, shape, np.eye(4), io_orientation(np.eye(4)), array.dtype)


def _stored(file: Path, header: Header) -> Stored:
    return Stored(file, header.shape, header.affine, io_orientation(header.affine), header.dtype, header.placed)
