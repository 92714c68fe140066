"""VerSe and BIDS: ``sub-X_…_ct.nii.gz`` with ``sub-X_…_seg-vert_msk.nii.gz``, beside it or in ``derivatives/``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fracture_vae.cohort.naming import file_name, patient_of
from fracture_vae.cohort.volumes import stem
from fracture_vae.preparation.scan import Found, Scan
from fracture_vae.preparation.tree import Folder, listed

LOOKED_FOR = "sub-*_ct.nii.gz with *_seg-vert_msk.nii.gz"

_CT = re.compile(r"(sub-[A-Za-z0-9]+(?:_[A-Za-z0-9]+-[A-Za-z0-9]+)*)_ct\.nii(?:\.gz)?", re.IGNORECASE)


@dataclass(frozen=True)
class _Companions:
    """The files of a study by subject (``sub-x``, lower case)."""

    by_subject: dict[str, list[Path]]

    def of(self, ct: Path, pattern: str) -> list[Path]:
        """Return the files whose name matches and whose place suits the CT best.

        The CT's own folder comes first, then ``derivatives`` where the CT's path says ``rawdata``, then anywhere.
        """
        found = [path for path in self.by_subject[_subject(ct)] if re.fullmatch(pattern, path.name.lower())]
        parts = ["derivatives" if part.lower() == "rawdata" else part for part in ct.parent.parts]
        for folder in (ct.parent, Path(*parts)):
            near = [path for path in found if path.parent == folder]
            if near:
                return near
        return found


def find(tree: Sequence[Folder]) -> Found:
    """Find the scans of a VerSe or BIDS tree."""
    root = tree[0].path
    by_subject: dict[str, list[Path]] = {}
    for folder in tree:
        for file in folder.files:
            by_subject.setdefault(_subject(file), []).append(file)
    companions = _Companions(by_subject)
    found = Found()
    for folder in tree:
        for ct in folder.volumes:
            if match := _CT.fullmatch(ct.name):
                found += _scan(ct, match.group(1), companions, root)
    return found


def _subject(file: Path) -> str:
    return file.name.lower().partition("_")[0]


def _scan(ct: Path, entities: str, companions: _Companions, root: Path) -> Found:
    start = re.escape(entities.lower())
    masks = companions.of(ct, start + r"_seg-vert_msk\.nii(\.gz)?")
    where = str(ct)
    if not masks:
        wanted = f"{entities}_seg-vert_msk.nii.gz"
        return Found(failed={where: f"no vertebra mask; put {wanted} beside it or into derivatives/"})
    truths = companions.of(ct, start + r"_seg-fracture_msk\.nii(\.gz)?")
    centroids = companions.of(ct, start + r"(_seg-[a-z0-9]+)?_ctd\.json")
    for what, several in (("masks", masks), ("truth masks", truths), ("centroid files", centroids)):
        if len(several) > 1:
            complaint = f"{len(several)} {what} ({listed(several, root)}); keep one"
            return Found(failed={where: complaint}, taken=(*masks, *truths))
    scan = Scan(
        patient_id=patient_of(ct),
        name=file_name(stem(ct)),
        ct=ct,
        mask=masks[0],
        truth=truths[0] if truths else None,
        centroids=centroids[0] if centroids else None,
    )
    return Found((scan,), taken=tuple(companions.of(ct, start + r"_.*\.nii(\.gz)?")))
