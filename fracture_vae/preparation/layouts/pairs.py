"""Plain pairs: a folder of CTs beside a folder of masks, files of equal names."""

import re
from collections.abc import Sequence
from pathlib import Path

from fracture_vae.cohort.naming import file_name, patient_of
from fracture_vae.cohort.volumes import stem
from fracture_vae.preparation.scan import Found, Scan
from fracture_vae.preparation.tree import Folder, listed

LOOKED_FOR = "ct/ or images/ beside mask/, masks/, labels/ or segmentations/"

_CTS = ("ct", "cts", "image", "images", "imagestr")
MASK_FOLDERS = ("mask", "masks", "label", "labels", "labelstr", "seg", "segs", "segmentation", "segmentations")
_TRUTHS = ("truth", "truths", "fracture", "fractures")
_CT_ENDING = re.compile(r"[_-](ct|image|img|0000)$", re.IGNORECASE)
_MASK_ENDING = re.compile(
    r"[_-](seg[_-]vert[_-]msk|mask|msk|seg|segmentation|labels?|truth|fracture|ct)$", re.IGNORECASE
)


def find(tree: Sequence[Folder]) -> Found:
    """Find pairs of folders and pair their files."""
    root = tree[0].path
    by_parent: dict[Path, list[Folder]] = {}
    for folder in tree[1:]:
        by_parent.setdefault(folder.path.parent, []).append(folder)
    found = Found()
    for parent, folders in by_parent.items():
        cts, masks, truths = (
            [folder for folder in folders if folder.path.name.lower() in names and folder.volumes]
            for names in (_CTS, MASK_FOLDERS, _TRUTHS)
        )
        if not cts or not masks:
            continue
        for several in (cts, masks, truths):
            if len(several) > 1:
                names = listed([folder.path for folder in several], root)
                found += Found(failed={str(parent): f"several folders of one kind ({names}); keep one"})
                break
        else:
            found += _pair(cts[0], masks[0], truths[0] if truths else None, root)
        found += Found(taken=tuple(folder.path for folder in (*cts, *masks, *truths)))
    return found


def _key(path: Path, ending: re.Pattern[str]) -> str:
    """Return a file's stem in lower case without the endings that tell a mask or an image."""
    name = stem(path).lower()
    while shorter := ending.sub("", name):
        if shorter == name:
            break
        name = shorter
    return name


def ct_key(path: Path) -> str:
    """Return what a CT's name has in common with its mask's."""
    return _key(path, _CT_ENDING)


def mask_key(path: Path) -> str:
    """Return what a mask's name has in common with its CT's."""
    return _key(path, _MASK_ENDING)


def _pair(cts: Folder, masks: Folder, truths: Folder | None, root: Path) -> Found:
    by_key = _by_key(masks)
    truth_by_key = _by_key(truths) if truths else {}
    found = Found()
    used: set[str] = set()
    for ct in cts.volumes:
        own = ct_key(ct)
        used.add(own)
        candidates, truth = by_key.get(own, []), truth_by_key.get(own, [])
        if not candidates:
            complaint = f"no mask; put {stem(ct)}.nii.gz into {masks.path}"
            found += Found(failed={str(ct): complaint})
        elif len(candidates) > 1 or len(truth) > 1:
            several = candidates if len(candidates) > 1 else truth
            found += Found(failed={str(ct): f"{len(several)} masks ({listed(several, root)}); keep one"})
        else:
            scan = Scan(
                patient_id=patient_of(ct),
                name=file_name(stem(ct)),
                ct=ct,
                mask=candidates[0],
                truth=truth[0] if truth else None,
            )
            found += Found((scan,))
    unused = [path for name, paths in by_key.items() if name not in used for path in paths]
    if unused:
        found += Found(passed={str(masks.path): f"{len(unused)} masks without a CT ({listed(unused, root)})"})
    return found


def _by_key(folder: Folder) -> dict[str, list[Path]]:
    grouped: dict[str, list[Path]] = {}
    for path in folder.volumes:
        grouped.setdefault(mask_key(path), []).append(path)
    return grouped
