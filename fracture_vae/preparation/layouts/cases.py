"""TotalSegmentator's output: a CT with a folder of one file a structure, or with one file of numbers."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fracture_vae.cohort.levels import ANATOMICAL, VERSE_NUMBERS
from fracture_vae.cohort.naming import file_name, patient_of
from fracture_vae.cohort.volumes import read_volume, stem
from fracture_vae.errors import InputError
from fracture_vae.preparation.layouts.pairs import ct_key, mask_key
from fracture_vae.preparation.masks import is_vertebra_mask
from fracture_vae.preparation.scan import AUTO, Found, Scan
from fracture_vae.preparation.tree import Folder, listed

LOOKED_FOR = "a CT with segmentations/vertebrae_*.nii.gz or a mask beside it"

_STRUCTURE = re.compile(r"(?:vertebrae_)?([A-Za-z]+\d*)\.nii(?:\.gz)?")
_ENDS_CT = re.compile(r"(.*[_-])?ct([_-]\d+)?", re.IGNORECASE)
_STARTS_CT = re.compile(r"ct[_-].*", re.IGNORECASE)
_IS_MASK = re.compile(r"seg|mask|msk|label|vertebra|spine|truth|fracture", re.IGNORECASE)
_PLAIN = ("ct", "image", "img", "volume", "scan")
"""CT names that say nothing, so that the folder names the patient."""


def find(tree: Sequence[Folder]) -> Found:
    """Find cases with a folder of structures, then cases with a file of numbers."""
    root = tree[0].path
    by_path = {folder.path: folder for folder in tree}
    structured = {folder.path: structures for folder in tree if (structures := structure_files(folder))}
    found = Found()
    taken: set[Path] = set()
    for path, structures in structured.items():
        result = _of_structures(by_path[path], structures, by_path, root)
        taken |= {scan.ct for scan in result.scans} | {Path(name) for name in result.failed}
        found += result
    for folder in tree:
        if folder.path not in structured and folder.volumes and not taken & set(folder.volumes):
            found += _of_numbers(folder, root)
    counts = Counter(scan.ct for scan in found.scans)
    doubled = {}
    for ct in (ct for ct, count in counts.items() if count > 1):
        folders = [scan.structures[0][1].parent for scan in found.scans if scan.ct == ct]
        doubled[str(ct)] = f"{len(folders)} folders of structures ({listed(folders, root)}); keep one"
    single = tuple(scan for scan in found.scans if counts[scan.ct] == 1)
    return replace(found, scans=single, failed={**found.failed, **doubled})


def structure_files(folder: Folder) -> tuple[tuple[str, Path], ...]:
    """Return the files of one vertebra each (``vertebrae_L1.nii.gz``) by level, with the sacrum's, head to foot."""
    found: dict[str, Path] = {}
    for path in folder.volumes:
        match = _STRUCTURE.fullmatch(path.name)
        level = match.group(1) if match else ""
        if path.name.startswith("vertebrae_") or level == "sacrum":
            known = next((name for name in VERSE_NUMBERS if name.lower() == level.lower()), None)
            if known is not None:
                found[known] = path
    if not any(path.name.startswith("vertebrae_") for path in found.values()):
        return ()
    return tuple((level, found[level]) for level in ANATOMICAL if level in found)


def _of_structures(
    folder: Folder, structures: tuple[tuple[str, Path], ...], by_path: dict[Path, Folder], root: Path
) -> Found:
    """Find the CT of a folder of structures: of its name beside it, the only one beside it, or the only one in it."""
    masks = {path for _, path in structures}
    above = by_path.get(folder.path.parent)
    beside = _cts(above.volumes) if above else []
    named = [ct for ct in beside if folder.path.name in (stem(ct), f"{stem(ct)}_segmentations", f"{stem(ct)}_seg")]
    # only what is called a CT: a folder of structures holds the other organs' files too
    inside = [path for path in folder.volumes if path not in masks and _called_ct(path)]
    candidates = named or beside or inside
    if len(candidates) == 1:
        return Found((_scan(candidates[0], structures=structures),))
    if not candidates:
        return Found(passed={str(folder.path): f"{len(structures)} vertebrae's masks, but no CT beside the folder"})
    return Found(
        failed={str(folder.path): f"{len(candidates)} CTs beside it ({listed(candidates, root)}); keep one a folder"}
    )


def _of_numbers(folder: Folder, root: Path) -> Found:
    """Find a CT and its file of numbers in one folder; where several files may be the mask, their content decides."""
    cts = _cts(folder.volumes)
    named = [ct for ct in cts if _called_ct(ct)]
    masks = [path for path in folder.volumes if path not in cts]
    if len(cts) != 1 and (paired := _flat(folder, root)).scans:
        return paired
    if len(cts) != 1:
        if named and masks:
            complaint = f"{len(cts)} CTs and {len(masks)} masks in one folder; give each CT a folder of its own"
            return Found(failed={str(ct): complaint for ct in named})
        if named:
            return Found(failed={str(ct): f"no mask; {_WHAT_TO_DO}" for ct in named})
        why = f"{len(folder.volumes)} volumes, none of which is called a CT (ct.nii.gz, …_ct.nii.gz) beside its mask"
        return Found(passed={str(folder.path): why})
    if not masks:
        if named:
            return Found(failed={str(cts[0]): f"no mask; {_WHAT_TO_DO}"})
        return Found(passed={str(cts[0]): "no mask lies beside it"})
    return _choose(cts[0], masks, root)


def _flat(folder: Folder, root: Path) -> Found:
    """Pair CTs and masks that lie in one folder by name, as ``a.nii.gz`` and ``a_seg.nii.gz``."""
    masks: dict[str, list[Path]] = {}
    cts = [path for path in folder.volumes if not _IS_MASK.search(stem(path))]
    for path in folder.volumes:
        if path not in cts:
            masks.setdefault(mask_key(path), []).append(path)
    found = Found()
    for ct in cts:
        own = masks.get(ct_key(ct), [])
        found += _choose(ct, own, root) if own else Found(failed={str(ct): f"no mask; {_WHAT_TO_DO}"})
    return found


_WHAT_TO_DO = "segment its vertebrae (such as with TotalSegmentator) into segmentations/ beside it"


def _choose(ct: Path, masks: list[Path], root: Path) -> Found:
    truths = [path for path in masks if re.search(r"truth|fracture", stem(path), re.IGNORECASE)]
    others = [path for path in masks if path not in truths]
    if len(truths) > 1:
        return Found(failed={str(ct): f"{len(truths)} truth masks ({listed(truths, root)}); keep one"})
    truth = truths[0] if truths else None
    if len(others) == 1:
        return Found((_scan(ct, mask=others[0], truth=truth),))
    decisions = {}
    for path in others:
        try:
            decisions[path] = is_vertebra_mask(read_volume(path, allow_constant=True))
        except InputError as error:
            return Found(failed={str(ct): str(error)})
    fit = [path for path, decision in decisions.items() if decision.labels]
    if len(fit) != 1:
        what = f"{len(fit)} masks that number vertebrae" if fit else "no mask that numbers vertebrae"
        return Found(failed={str(ct): f"{what} ({listed(fit or others, root)}); keep one"})
    passed = "; ".join(f"{path.name} passed over: {decisions[path].why}" for path in others if path != fit[0])
    return Found((_scan(ct, mask=fit[0], truth=truth, decided=(f"{fit[0].name} is the mask; {passed}",)),))


def _scan(
    ct: Path,
    *,
    mask: Path | None = None,
    structures: tuple[tuple[str, Path], ...] = (),
    truth: Path | None = None,
    decided: tuple[str, ...] = (),
) -> Scan:
    plain = stem(ct).lower() in _PLAIN
    return Scan(
        patient_id=ct.parent.name if plain else patient_of(ct),
        name=file_name(ct.parent.name if plain else stem(ct)),
        ct=ct,
        mask=mask,
        structures=structures,
        labels=AUTO,
        truth=truth,
        decided=decided,
    )


def _cts(volumes: Sequence[Path]) -> list[Path]:
    """Return the volumes that may be CTs: those called so, else those not called masks."""
    named = [path for path in volumes if _called_ct(path)]
    return named or [path for path in volumes if not _IS_MASK.search(stem(path))]


def _called_ct(path: Path) -> bool:
    name = stem(path)
    return bool(_ENDS_CT.fullmatch(name) or (_STARTS_CT.fullmatch(name) and not _IS_MASK.search(name)))
