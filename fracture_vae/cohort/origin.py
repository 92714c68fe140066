"""Which image a simulated scan was made from: to a split of patients the two are one."""

import os
from pathlib import Path

from fracture_vae.errors import InputError
from fracture_vae.files import read_json

CT, RECORD = "_ct.nii.gz", "_fractures.json"
"""How the names of a broken scan and of the record beside it end."""
KEY = "source_ct_voxels"


def original(ct: str | os.PathLike[str]) -> str | None:
    """Return the `cohort.content.voxel_hash` of the scan that ``ct`` was broken from, None where it is no such one.

    Raises:
        InputError: the record beside it is damaged.
    """
    path = Path(ct)
    record = path.with_name(path.name.removesuffix(CT) + RECORD)
    if not path.name.endswith(CT) or not record.is_file():
        return None
    value = read_json(record).get(KEY)
    if not isinstance(value, str):
        raise InputError(f"{record}: damaged, it has no {KEY}; break the CT again")
    return value
