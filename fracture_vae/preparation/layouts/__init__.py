"""Ways studies lie on disk: each module finds the scans of one."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError, nearest
from fracture_vae.preparation.layouts import bids, cases, dicom, pairs
from fracture_vae.preparation.masks import is_vertebra_mask
from fracture_vae.preparation.scan import Found, Scan, told_apart
from fracture_vae.preparation.tree import Folder, walk

__all__ = ["LAYOUTS", "find_scans"]

LAYOUTS: Mapping[str, ModuleType] = {"verse": bids, "pairs": pairs, "dicom": dicom, "totalsegmentator": cases}
"""In the order in which they look: what one takes, the later ones do not see."""

_PEEKED = 3


def find_scans(source: str | os.PathLike[str], layout: str = "auto", *, map_named: bool = False) -> Found:
    """Find the scans below a folder; several layouts may lie side by side in it.

    With ``auto``, pairs of folders whose first masks number no vertebrae are some other study and passed over with a
    note, unless the user named the map. Scans of one name get their folder's too.

    Args:
        source: the folder.
        layout: ``auto`` or one of `LAYOUTS`.
        map_named: the user says what the masks' numbers mean.

    Raises:
        InputError: an unknown layout, no such folder, or nothing in it that looks like a scan.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(f"layout '{layout}' is none of auto, {', '.join(LAYOUTS)}{nearest(layout, LAYOUTS)}")
    tree = walk(source)
    found = Found()
    for name, module in LAYOUTS.items():
        if layout in ("auto", name):
            result = module.find(_left(tree, found))
            peek = layout == "auto" and module is pairs and not map_named
            found = _joined(found, _with_vertebrae(result) if peek else result)
    if found.nothing:
        looked = [LAYOUTS[name].LOOKED_FOR for name in LAYOUTS if layout in ("auto", name)]
        seen = "".join(f" ({where}: {why})" for where, why in list(found.passed.items())[:1])
        raise InputError(f"{source}: no scans found{seen}; looked for {'; '.join(looked)}")
    return _distinct(replace(found, scans=told_apart(found.scans, tree[0].path)))


def _joined(found: Found, later: Found) -> Found:
    """Add what a later layout found: its scans settle earlier complaints, but its complaints do not replace them."""
    prepared = {str(scan.ct) for scan in later.scans}
    failed = {**later.failed, **{where: why for where, why in found.failed.items() if where not in prepared}}
    passed = {where: why for where, why in later.passed.items() if where not in failed}
    return replace(found + later, failed=failed, passed={**found.passed, **passed})


def _left(tree: Sequence[Folder], found: Found) -> tuple[Folder, ...]:
    """Return the tree without what is spoken for already; a CT that only lacks a mask is still there."""
    taken = {scan.ct for scan in found.scans} | {scan.mask for scan in found.scans}
    taken |= {scan.truth for scan in found.scans} | set(found.taken)
    gone = set(found.taken)
    return tuple(
        Folder(folder.path, (), ())
        if {folder.path, *folder.path.parents} & gone
        else Folder(folder.path, folder.files, tuple(path for path in folder.volumes if path not in taken))
        for folder in tree
    )


def _with_vertebrae(found: Found) -> Found:
    """Drop the scans of folders whose first masks number no vertebrae."""
    by_folder: dict[Path, list[Scan]] = {}
    for scan in found.scans:
        by_folder.setdefault(scan.ct.parent, []).append(scan)
    result = replace(found, scans=())
    for folder, scans in by_folder.items():
        why = _no_vertebrae(scans[:_PEEKED])
        if why:
            where, what = str(folder.parent), f"{len(scans)} pairs, for {why}"
            result += Found(passed={where: f"{what}; --layout pairs with --labels takes them"})
        else:
            result += Found(tuple(scans))
    return result


def _no_vertebrae(scans: Sequence[Scan]) -> str:
    """Return why none of the scans' masks numbers vertebrae, or an empty string where one does or cannot be read."""
    why = ""
    for scan in scans:
        try:
            assert scan.mask is not None
            decision = is_vertebra_mask(read_volume(scan.mask, allow_constant=True))
        except InputError:
            return ""
        if decision.labels:
            return ""
        why = decision.why
    return why


def _distinct(found: Found) -> Found:
    """Move scans that still share a name, and so would overwrite each other's crops, to the failed ones."""
    counts = Counter(scan.name.casefold() for scan in found.scans)
    shared = [scan for scan in found.scans if counts[scan.name.casefold()] > 1]
    complaint = "another scan would have the same case names; rename one"
    kept = tuple(scan for scan in found.scans if scan not in shared)
    return replace(found, scans=kept, failed={**found.failed, **{str(scan.ct): complaint for scan in shared}})
