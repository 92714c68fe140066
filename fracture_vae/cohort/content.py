"""What identifies an image (its voxels) and a name (its letters), however either is written down."""

import hashlib
import os
import unicodedata
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.volumes import Volume, read_volume


def canonical(name: str) -> str:
    """Return a name without case, blanks and Unicode form, so that two spellings of one patient become equal."""
    return "".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def voxel_hash(volume: Volume) -> str:
    """Return the SHA-256 of size and voxels in RAS order, as float32.

    So it is the same for one image stored as ``.nii``, ``.nii.gz`` or ``.npy``, in any orientation that its header
    tells and any number type that holds the values.
    """
    digest = hashlib.sha256(repr(volume.array.shape).encode())
    digest.update((volume.array + 0.0).astype("<f4").tobytes())  # + 0.0 turns -0.0 into 0.0
    return digest.hexdigest()


def image_hash(path: str | os.PathLike[str]) -> str:
    """Return the `voxel_hash` of a file.

    Raises:
        InputError: the file cannot be read as a volume.
    """
    return voxel_hash(read_volume(path))


def value_key(volume: Volume) -> str:
    """Return a key of the voxels' values, the same however the image is turned or mirrored.

    It is their number and the sums, modulo 2⁶⁴, of their float32 bit patterns and of the squares of these: exact, so
    that no order of summing matters. Images of few different values may share it by chance; `turned` decides.
    """
    bits = (volume.array + 0.0).astype(np.float32).view(np.uint32).astype(np.uint64)
    return f"{bits.size}:{bits.sum()}:{(bits * bits).sum()}"


def turned(image: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two images are equal after axes were swapped or mirrored, in any of the 48 ways.

    So a ``.npy``, which cannot tell its orientation, is known again when it was saved in another than RAS.
    """
    return any(
        np.array_equal(image, other.transpose(axes)[tuple(slice(None, None, step) for step in steps)])
        for axes in permutations(range(3))
        if tuple(other.shape[axis] for axis in axes) == image.shape
        for steps in product((1, -1), repeat=3)
    )
