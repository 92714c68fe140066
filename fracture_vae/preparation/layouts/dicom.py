"""DICOM: folders that hold CT series, with a NIfTI mask inside, beside, or in a sibling ``mask/``."""

from collections.abc import Sequence
from pathlib import Path

from fracture_vae.cohort.naming import file_name
from fracture_vae.cohort.volumes import read_stored
from fracture_vae.errors import InputError
from fracture_vae.preparation.dicom import Series, find_series, is_dicom
from fracture_vae.preparation.layouts.cases import structure_files
from fracture_vae.preparation.layouts.pairs import MASK_FOLDERS, mask_key
from fracture_vae.preparation.scan import Found, Scan
from fracture_vae.preparation.tree import Folder, listed

LOOKED_FOR = "folders of DICOM slices with a NIfTI mask inside, beside or in mask/"


_PEEKED = 20
"""Files of a folder that are opened to see whether it holds DICOM."""


def find(tree: Sequence[Folder]) -> Found:
    """Find the CT series below a folder and their masks."""
    root = tree[0].path
    by_path = {folder.path: folder for folder in tree}
    with_slices = [folder for folder in tree if any(map(is_dicom, _others(folder)[:_PEEKED]))]
    holding = {folder.path for folder in with_slices}
    found = Found()
    for folder in with_slices:
        try:
            series, passed = find_series(folder.path)
        except InputError as error:
            found += Found(failed={str(folder.path): str(error)})
            continue
        found += Found(passed=passed)
        structures = _structures(folder, by_path, holding)
        if len(series) == 1 and len(structures) == 1:
            (place,) = structures
            found += Found((_named(folder, series[0], 1, structures=structure_files(place)),), taken=(place.path,))
            continue
        candidates = _masks(folder, by_path, holding)
        for one in series:
            found += _scan(folder, one, len(series), candidates, root)
    return found


def _others(folder: Folder) -> list[Path]:
    return [file for file in folder.files if file not in folder.volumes and file.suffix.lower() != ".json"]


def _masks(folder: Folder, by_path: dict[Path, Folder], holding: set[Path]) -> list[Path]:
    """Return the NIfTI files that may be a folder's masks: inside it, else named as it, else the only ones beside it.

    Volumes beside several folders of slices belong to none of them unless named so.
    """
    if folder.volumes:
        return list(folder.volumes)
    parent = by_path.get(folder.path.parent)
    if parent is None:
        return []
    siblings = [by_path[path] for path in by_path if path.parent == parent.path]
    grandparent = [path for path in by_path if path.parent == parent.path.parent]
    mask_folders = [f for f in siblings if f.path.name.lower() in MASK_FOLDERS]
    mask_folders += [by_path[path] for path in grandparent if path.name.lower() in MASK_FOLDERS]
    beside = [path for place in (parent, *mask_folders) for path in place.volumes]
    named = [path for path in beside if mask_key(path) == folder.path.name.lower()]
    return named or ([path for path in beside if path.parent == parent.path] if _alone(folder, holding) else [])


def _structures(folder: Folder, by_path: dict[Path, Folder], holding: set[Path]) -> list[Folder]:
    """Return the folders of one file a structure inside a folder of slices, or beside it where it is the only one."""
    inside = [other for path, other in by_path.items() if path.parent == folder.path and structure_files(other)]
    beside = [other for path, other in by_path.items() if path.parent == folder.path.parent and structure_files(other)]
    return inside or (beside if _alone(folder, holding) else [])


def _alone(folder: Folder, holding: set[Path]) -> bool:
    return sum(path.parent == folder.path.parent for path in holding) == 1


def _scan(folder: Folder, series: Series, count: int, candidates: list[Path], root: Path) -> Found:
    where = str(folder.path) if count == 1 else f"{folder.path} series {series.number or series.uid}"
    masks = candidates
    if count > 1:
        try:
            masks = [path for path in candidates if sorted(read_stored(path).shape) == sorted(series.size)]
        except InputError as error:
            return Found(failed={where: str(error)})
    if not masks:
        size = "×".join(map(str, series.size))
        return Found(failed={where: f"no mask of {size} voxels; put {folder.path.name}.nii.gz beside the folder"})
    if len(masks) > 1:
        complaint = f"{len(masks)} masks ({listed(masks, root)}); keep one"
        return Found(failed={where: complaint}, taken=tuple(masks))
    return Found((_named(folder, series, count, mask=masks[0]),))


def _named(
    folder: Folder,
    series: Series,
    count: int,
    *,
    mask: Path | None = None,
    structures: tuple[tuple[str, Path], ...] = (),
) -> Scan:
    """Name a scan by its folder, and by its series where the folder holds several."""
    name = folder.path.name if count == 1 else f"{folder.path.name}_{series.number or series.uid}"
    source = "DICOM's PatientID" if series.patient_id else "the folder's name, as DICOM names no patient"
    return Scan(
        patient_id=series.patient_id or folder.path.name,
        name=file_name(name),
        ct=folder.path,
        series=series.uid,
        mask=mask,
        structures=structures,
        decided=(f"its patient is {source}",),
    )
