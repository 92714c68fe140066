"""NIfTI from its bytes: what the header says, held against what the file holds, and where every program puts it.

A header may say in three ways where an image lies (sform, qform, voxel sizes), and programs differ in which they
believe: nibabel and MONAI take the sform; ITK, and with it 3D Slicer, takes the sform's directions with pixdim's voxel
sizes, and the qform where the two forms differ and the sform is not the scanner's. An image is read only where all of
these put it in one place, so that a map written beside it lies on it in all of them.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from fracture_vae.errors import InputError

MAX_VOXELS = 2**31
"""Voxels of the largest volume read: 8.6 GB as float32."""
TOLERANCE = 0.5
"""How far apart, in voxels, two places of one image may be and still count as one.

A qform's quaternion holds a rotation near 180° only to 10⁻³, which is half a voxel at the far end of a CT.
"""

_HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_MAGICS = (b"n+1\0", b"n+2\0\r\n\x1a\n")
_PAIRS = (b"ni1\0", b"ni2\0\r\n\x1a\n")
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}  # metre, millimetre, micron in the low three bits of xyzt_units
_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_NOT_GZIP: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stubs call it an instance
_DEFLATE_RATIO = 1032  # zlib packs no more into a byte (https://zlib.net/zlib_tech.html)


class Header(NamedTuple):
    """What a sound header says.

    Attributes:
        shape: voxels along the file's axes, trailing axes of one dropped.
        dtype: the stored numbers, with their byte order.
        offset: byte of the (unzipped) file where the voxels begin.
        slope, intercept: from stored numbers to values; 1 and 0 where the header gives none.
        affine: (4, 4), voxel to world millimetres (RAS+).
        placed: False where the header has neither sform nor qform; the affine is then ITK's reading of it.
        description: its ``descrip``.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    affine: NDArray[np.float64]
    placed: bool
    description: str

    @property
    def bytes(self) -> int:
        """How many bytes of voxels there must be."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: Path) -> Header:
    """Read the header alone.

    Raises:
        InputError: the file is no single-file NIfTI, or its header is unsound, contradicts itself or the file's size.
    """
    try:
        with _opened(file) as (stream, zipped):
            header = _parsed(stream.read(544), file)
    except (OSError, EOFError, _NOT_GZIP) as error:
        raise _unreadable(file, error) from error
    size = file.stat().st_size
    if header.offset + header.bytes > (size * _DEFLATE_RATIO if zipped else size):
        raise InputError(
            f"{file}: its header says {header.bytes} bytes of voxels from byte {header.offset} on, more than the file "
            "holds; copy or export it again"
        )
    return header


def description(file: Path) -> str:
    """Return the ``descrip`` of a NIfTI file, such as that it is no patient's; nothing for another kind of file."""
    return read_header(file).description if file.name.endswith((".nii", ".nii.gz")) else ""


def shown_range(file: Path) -> tuple[float, float]:
    """Return between which values a NIfTI file's header asks viewers to show it (``cal_min``, ``cal_max``)."""
    header = nib.load(file).header
    return float(header["cal_min"]), float(header["cal_max"])


def read_voxels(file: Path, header: Header) -> NDArray[np.float32]:
    """Read the values (slope and intercept applied) of the file of which ``header`` is the header, along its axes.

    The whole gzip stream is read, so that its checksum is verified; several members are one stream. No more is held
    in memory than the header declares, nor anything where the file cannot hold that.

    Raises:
        InputError: the file is damaged, cannot be read, or holds more or fewer voxels than its header says.
    """
    end = header.offset + header.bytes
    try:
        with _opened(file) as (stream, _):
            content = stream.read(end + 1)
    except (OSError, EOFError, _NOT_GZIP, MemoryError) as error:
        raise _unreadable(file, error) from error
    if len(content) != end:
        held = "more" if len(content) > end else f"{max(len(content) - header.offset, 0)}"
        raise InputError(
            f"{file}: its header says {header.bytes} bytes of voxels ({header.dtype.name}), the file holds {held}; "
            "copy or export it again"
        )
    stored = np.frombuffer(content, header.dtype, math.prod(header.shape), header.offset)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is told with the other such voxels
        values = stored.reshape(header.shape, order="F").astype(np.float32)
        if (header.slope, header.intercept) != (1.0, 0.0):
            values *= np.float32(header.slope)
            values += np.float32(header.intercept)
    return values


def apart(one: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """Return how far apart in mm two affines (4, 4) put an image of this shape, at the corner where it is most."""
    corners = np.array([[*corner, 1] for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm(corners @ (one - other).T, axis=1).max())


@contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], bool]]:
    """Open a file, unzipping it where it is zipped whatever its name; gives the stream and whether it is zipped."""
    with file.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield (cast(IO[bytes], igzip.IGzipFile(fileobj=raw)) if zipped else raw), zipped


def _unreadable(file: Path, error: Exception) -> InputError:
    if isinstance(error, OSError) and error.strerror:
        return InputError(f"{file}: cannot be read ({error.strerror}); check its permissions and the disk")
    if isinstance(error, MemoryError):
        return InputError(f"{file}: does not fit into memory; crop or resample it first")
    return InputError(f"{file}: damaged; copy or export it again")


def _parsed(content: bytes, file: Path) -> Header:
    raw = _raw(content, file)
    code = int(raw["datatype"])
    if code not in _DTYPES:
        raise InputError(f"{file}: voxels are {_name(raw, code)}, not single real numbers; export it as greyscale")
    shape = _shape(raw, file)
    offset = float(raw["vox_offset"])
    if not (math.isfinite(offset) and offset.is_integer() and offset >= int(raw["sizeof_hdr"]) + 4):
        raise InputError(f"{file}: vox_offset is {offset:g}, where no voxels can begin; export it again")
    affine, placed = _place(raw, shape, file)
    dtype = np.dtype(_DTYPES[code]).newbyteorder(raw.endianness)
    description = raw["descrip"].item().decode("ascii", "replace")
    return Header(shape, dtype, int(offset), *_scaling(raw, file), affine, placed, description)


def _raw(content: bytes, file: Path) -> Any:
    """Return nibabel's header, its fields as they are in the file (nibabel would mend some, with a word on stderr)."""
    for order in "<>":
        size = int.from_bytes(content[:4], "little" if order == "<" else "big")
        if size in _HEADERS and len(content) >= size:
            raw = _HEADERS[size](content[:size], endianness=order, check=False)
            magic = content[344:348] if size == 348 else content[4:12]
            if magic in _PAIRS:
                raise InputError(f"{file}: a header whose voxels are in another file (.img); save both as one .nii")
            if magic in _MAGICS:
                return raw
    raise InputError(f"{file}: damaged or not a NIfTI file; copy or export it again")


def _name(raw: Any, code: int) -> str:
    try:
        return str(raw.get_data_dtype())
    except (HeaderDataError, KeyError):
        return f"of no known type (code {code})"


def _shape(raw: Any, file: Path) -> tuple[int, int, int]:
    """Return the sizes along three axes; `file` names the complaint."""
    count = int(raw["dim"][0])
    sizes = [int(size) for size in raw["dim"][1 : max(count, 0) + 1]]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if not 1 <= count <= 7 or min(sizes) < 0 or math.prod(sizes) > MAX_VOXELS:
        dim = ", ".join(str(int(size)) for size in raw["dim"])
        raise InputError(f"{file}: its header says dim ({dim}), which is no 3D volume; copy or export it again")
    require_3d(file, sizes)
    return sizes[0], sizes[1], sizes[2]


def require_3d(file: Path, sizes: Sequence[int]) -> None:
    """Require three axes with something in them.

    Raises:
        InputError: when not.
    """
    if len(sizes) != 3 or 0 in sizes:
        named = "×".join(map(str, sizes))
        raise InputError(f"{file}: {len(sizes)}D ({named}), not 3D; split or export it as one volume")


def _scaling(raw: Any, file: Path) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0, NaN or infinity says that the numbers are stored as they are."""
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise InputError(f"{file}: scl_inter is {intercept}, so its values are unknown; repair the header")
    return slope, intercept


@np.errstate(invalid="ignore", over="ignore")  # what is no number is told, not warned of
def _place(raw: Any, shape: tuple[int, int, int], file: Path) -> tuple[NDArray[np.float64], bool]:
    """Return where the image lies, and whether the header says so, if all programs find it there."""
    scale = _MM_PER_UNIT.get(int(raw["xyzt_units"]) & 7, 1.0)
    pixdim = np.asarray(raw["pixdim"][1:4], dtype=np.float64) * scale
    codes = {form: int(raw[f"{form}_code"]) for form in ("sform", "qform")}
    for form, code in codes.items():
        if not 0 <= code <= 5:
            raise InputError(f"{file}: {form}_code is {code}, which NIfTI does not know; repair the header")
    forms = {form: _in_mm(_affine(raw, form, file), scale) for form, code in codes.items() if code > 0}
    for affine in forms.values():
        _require_regular(affine, file)
    if not (np.isfinite(pixdim).all() and (pixdim > 0).all()):
        said = ", ".join(f"{size:g}" for size in pixdim)
        raise InputError(f"{file}: voxel sizes (pixdim) are {said}; all three must be above 0: repair the header")
    if not forms:  # as ITK reads it; a map of it is written without forms too
        return np.diag([-pixdim[0], -pixdim[1], pixdim[2], 1.0]), False
    best = next(iter(forms.values()))
    if "sform" in forms:
        sizes = np.append(pixdim / np.linalg.norm(best[:3, :3], axis=0), 1.0)
        forms["sform with pixdim's voxel sizes"] = best * sizes
    for name, other in forms.items():
        distance = apart(best, other, shape)
        if distance > TOLERANCE * pixdim.min():
            raise InputError(
                f"{file}: its {next(iter(forms))} and {name} put it {distance:.3g} mm apart, so programs show it in "
                "different places; keep the right one, for example with nibabel: set_qform(image.get_sform(), 1)"
            )
    return best, True


def _affine(raw: Any, form: str, file: Path) -> NDArray[np.float64]:
    if form == "sform":
        return np.asarray(raw.get_sform(), dtype=np.float64)
    if float(raw["pixdim"][0]) not in (-1.0, 0.0, 1.0):
        raise InputError(f"{file}: qfac (pixdim[0]) is {float(raw['pixdim'][0]):g}, not 1 or -1; repair the header")
    sound = raw.copy()
    sound["pixdim"][0] = raw["pixdim"][0] or 1.0  # 0 counts as 1
    try:
        return np.asarray(sound.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise InputError(f"{file}: its qform is no rotation ({error}); repair the header") from error


def _in_mm(affine: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    return np.diag([scale, scale, scale, 1.0]) @ affine


def _require_regular(affine: NDArray[np.float64], file: Path) -> None:
    linear = affine[:3, :3]
    lengths = np.linalg.norm(linear, axis=0)
    flat = not np.isfinite(affine).all() or (lengths == 0).any()
    if flat or abs(np.linalg.det(linear / lengths)) < 1e-3:  # 1e-3: axes within 0.06° of one plane
        raise InputError(f"{file}: its affine is zero or singular, so its voxels have no place; repair the header")
