"""What identifies an image (its voxels) and a name (its letters), however either is written down."""

import hashlib
import os
import unicodedata

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
