"""The two file formats public image sets come in: idx, and CIFAR's binary records."""

import gzip
import math
import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fracture_vae.errors import InputError

_UNSIGNED_BYTE = 8  # the type code of idx this package reads
_RECORD = 1 + 3 * 32 * 32  # a label and a 32 × 32 image, red plane first
_BATCH = 10_000


def read_bytes(path: Path) -> bytes:
    """Return a file's content, unzipped where it is gzip.

    Raises:
        InputError: missing or damaged.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy or fetch it again") from error


def parse_idx(content: bytes, where: str) -> NDArray[np.uint8]:
    """Return the array of an idx file of unsigned bytes (LeCun's format).

    Raises:
        InputError: content that is no such file, or of another length than its header says.
    """
    if len(content) < 4 or content[0] or content[1] or content[2] != _UNSIGNED_BYTE or not 1 <= content[3] <= 4:
        raise InputError(f"{where}: not an idx file of bytes; fetch it again")
    dims = content[3]
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", dims, 4)) if len(content) >= 4 + 4 * dims else ()
    if not shape or len(content) != 4 + 4 * dims + math.prod(shape):
        raise InputError(f"{where}: {len(content)} bytes are not what its header says ({shape}); fetch it again")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape)


def read_cifar(path: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return ``train`` and ``test`` images (N, 3, 32, 32) and labels (N,) of CIFAR-10's binary archive.

    Raises:
        InputError: missing or damaged.
    """
    names = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
    try:
        with tarfile.open(path) as archive:
            held = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}
            parts = {split: [_records(archive, held[name], path) for name in wanted] for split, wanted in names.items()}
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError) as error:
        raise InputError(f"{path}: not CIFAR-10's binary archive ({error}); fetch it again") from error
    return {
        split: (
            np.concatenate([part[:, 1:] for part in batches]).reshape(-1, 3, 32, 32),
            np.concatenate([part[:, 0] for part in batches]),
        )
        for split, batches in parts.items()
    }


def _records(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> NDArray[np.uint8]:
    file = archive.extractfile(member)
    content = b"" if file is None else file.read(_BATCH * _RECORD + 1)
    if len(content) % _RECORD or not content or len(content) > _BATCH * _RECORD:
        raise InputError(f"{path}: {member.name} holds no whole number of images; fetch it again")
    return np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
