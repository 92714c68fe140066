"""Makers of bad input for the battery: each puts files into an empty folder. ``kit`` holds the sound ones."""

import gzip
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import torch

Kit = Mapping[str, Path]
Maker = Callable[[Path, Kit], Any]

GOOD = np.linspace(0, 1, 16**3, dtype=np.float32).reshape(16, 16, 16)
SINGULAR = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
ZERO = np.diag([0, 0, 0, 1.0])
HEAD = "case_id,patient_id,level,label,fold,image"


class Bad(NamedTuple):
    """A bad input. ``{run}``, ``{vae_run}``, ``{folds}``, ``{bundle}``, ``{cohort}`` and ``{tiny}`` in a command are
    sound ones."""

    name: str
    make: Maker
    command: str
    says: tuple[str, ...]
    status: int = 2


def nothing(folder: Path, kit: Kit) -> None:
    """Make nothing."""


def changed(value: float) -> Any:
    """A good volume but for one voxel."""
    array = GOOD.copy()
    array[3, 4, 5] = value
    return array


def nifti(path: Path, array: Any = GOOD, affine: Any = None, **fields: Any) -> None:
    """Write a NIfTI whose header is as given, however unsound."""
    image = nib.Nifti1Image(array, np.eye(4))
    if affine is not None:
        image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = affine[:3]
    for name, value in fields.items():
        image.header[name] = value
    head = image.header.copy()
    head["vox_offset"], head["magic"] = 352, b"n+1"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(head.binaryblock + bytes(4) + array.tobytes(order="F")))


def volume(name: str, array: Any = GOOD, affine: Any = None, **fields: Any) -> Maker:
    """A volume as given."""
    return lambda folder, _: nifti(folder / name, array, affine, **fields)


def text(name: str, content: str = "this is no image") -> Maker:
    """A text file."""

    def make(folder: Path, kit: Kit) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))

    return make


def folder(name: str) -> Maker:
    """A folder where a file is expected."""
    return lambda place, _: (place / name).mkdir()


def cut(name: str) -> Maker:
    """A volume whose end is missing."""

    def make(folder: Path, kit: Kit) -> None:
        nifti(folder / name)
        (folder / name).write_bytes((folder / name).read_bytes()[:300])

    return make


def pickled(name: str) -> Maker:
    """A .npy only unsafe loading brings back."""
    return lambda folder, _: np.save(folder / name, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def array(name: str, values: Any) -> Maker:
    """A .npy."""
    return lambda folder, _: np.save(folder / name, values)


def loop(name: str) -> Maker:
    """A link to itself."""
    return lambda folder, _: (folder / name).symlink_to(name)


def cohort_of(*makers: Maker, image: str) -> Maker:
    """A sound cohort of three folds but for the image of the third."""

    def make(folder: Path, kit: Kit) -> None:
        for maker in makers:
            maker(folder, kit)
        nifti(folder / "good.nii.gz")
        nifti(folder / "fine.nii.gz", 1 - GOOD)
        names = ("good.nii.gz", "fine.nii.gz", image)
        rows = [f"c{i},c{i},L1,0,{i + 1},{name}" for i, name in enumerate(names)]
        (folder / "cohort.csv").write_text("\n".join([HEAD, *rows, ""]), encoding="utf-8")

    return make


def second_row(row: str, head: str = HEAD) -> Maker:
    """A cohort of a sound row and this one, beside copies of the tiny cohort's images."""

    def make(folder: Path, kit: Kit) -> None:
        for name in ("p10", "p11", "p20"):
            shutil.copy(kit["cohort"].parent / f"{name}.nii.gz", folder)
        (folder / "cohort.csv").write_text(f"{head}\np10,p10,L1,0,1,p10.nii.gz\n{row}\n", encoding="utf-8")

    return make


def scan(ct: Any = GOOD * 2000 - 1000, mask: Any = None, **header: Any) -> Maker:
    """A CT and its vertebra mask; None for a mask of one vertebra."""

    def make(folder: Path, kit: Kit) -> None:
        own = np.zeros((16, 16, 16), np.uint8)
        own[5:9, 5:9, 5:9] = 20
        if ct is not None:
            nifti(folder / "ct.nii.gz", ct, **header)
        nifti(folder / "mask.nii.gz", own if mask is None else mask)

    return make


def studied(
    ct: str = "s/sub-a_ct.nii.gz",
    mask: str = "s/sub-a_seg-vert_msk.nii.gz",
    values: Any = GOOD * 2000 - 1000,
    number: int = 20,
    offset: float = 0.0,
) -> Maker:
    """A scan as VerSe names it; without a name the CT or its mask is left out, ``offset`` moves the mask (mm)."""

    def make(folder: Path, kit: Kit) -> None:
        own = np.zeros((16, 16, 16), np.uint8)
        own[5:9, 5:9, 5:9] = number
        if ct:
            nifti(folder / ct, np.asarray(values, np.float32))
        if mask:
            affine = np.eye(4)
            affine[0, 3] = offset
            nifti(folder / mask, own, affine, sform_code=1)

    return make


def tabled(rows: Sequence[str], head: str = HEAD) -> Maker:
    """A cohort of these rows, beside the images ``a.npy``, ``b.npy`` and ``c.npy``."""

    def make(folder: Path, kit: Kit) -> None:
        for seed, name in enumerate("abc"):
            np.save(folder / f"{name}.npy", np.random.default_rng(seed).random((8, 8, 8), dtype=np.float32))
        (folder / "cohort.csv").write_text("\n".join([head, *rows, ""]), encoding="utf-8")

    return make


def both(*makers: Maker) -> Maker:
    """All of these."""

    def make(folder: Path, kit: Kit) -> None:
        for maker in makers:
            maker(folder, kit)

    return make


class Custom:
    """Something only unsafe loading brings back."""


def checkpoint(**changes: Any) -> Maker:
    """A trained model with parts of its checkpoint replaced."""

    def make(folder: Path, kit: Kit) -> None:
        content = torch.load(kit["run"] / "checkpoints" / "last.pt", weights_only=True)
        torch.save({**content, **changes}, folder / "model.pt")

    return make


def about(**changes: Any) -> Maker:
    """A trained model with parts of what it says of itself replaced."""

    def make(folder: Path, kit: Kit) -> None:
        content = torch.load(kit["run"] / "checkpoints" / "last.pt", weights_only=True)
        said = {**json.loads(content["about"]), **changes}
        torch.save({**content, "about": json.dumps(said)}, folder / "model.pt")

    return make


def other_network(folder: Path, kit: Kit) -> None:
    """A model that says it is of another width than it is."""
    content = torch.load(kit["run"] / "checkpoints" / "last.pt", weights_only=True)
    network = {**json.loads(content["about"])["network"], "channels": [4, 12]}
    about(network=network)(folder, kit)


def unsafe(folder: Path, kit: Kit) -> None:
    """A checkpoint that needs unsafe loading."""
    torch.save({"network": Custom()}, folder / "model.pt")


def shortened(folder: Path, kit: Kit) -> None:
    """A checkpoint whose end is missing."""
    (folder / "model.pt").write_bytes((kit["run"] / "checkpoints" / "last.pt").read_bytes()[:-3000])


def run_with(name: str, content: str) -> Maker:
    """A run folder, one file of which holds this."""

    def make(folder: Path, kit: Kit) -> None:
        shutil.copytree(kit["run"], folder / "run", symlinks=True)
        (folder / "run" / name).write_text(content, encoding="utf-8")

    return make


def maps_with(rows: str, *, bad: str = "") -> Maker:
    """A folder of maps whose scores.csv has these rows; the volume ``bad`` is of another size."""

    def make(folder: Path, kit: Kit) -> None:
        for kind in ("recon", "signed", "error"):
            values = GOOD[:8] if kind == bad else GOOD
            nifti(folder / "maps" / f"a_{kind}.nii.gz", values)
        (folder / "maps" / "scores.csv").write_bytes(rows.encode("utf-8", "surrogateescape"))

    return make
