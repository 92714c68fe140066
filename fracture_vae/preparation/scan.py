"""A scan as it was found, before anything of it is read."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fracture_vae.cohort.naming import file_name

AUTO = "auto"
"""Labels that the mask's own numbers decide."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A CT and what belongs to it.

    Attributes:
        patient_id: whose it is.
        name: unique in the study and fit for file names; every case name starts with it.
        ct: the volume, or the folder of a DICOM series.
        series: series instance UID where ``ct`` is a folder of DICOM, else empty.
        mask: one file of vertebra numbers, or None where ``structures`` are given.
        structures: one binary file a level, by level.
        labels: ``verse``, ``totalsegmentator``, a file, or `AUTO`.
        truth: mask of anomalies, optional.
        centroids: JSON of vertebra centroids, optional.
        decided: what was decided about it and why, one sentence each.
    """

    patient_id: str
    name: str
    ct: Path
    series: str = ""
    mask: Path | None = None
    structures: tuple[tuple[str, Path], ...] = ()
    labels: str = AUTO
    truth: Path | None = None
    centroids: Path | None = None
    decided: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        scans: fit to be tried.
        failed: CTs that cannot be prepared, to why and what to do.
        passed: what was passed over, to why.
        taken: files and folders that are spoken for, besides those of the scans; no other layout looks at them.
    """

    scans: tuple[Scan, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)
    taken: tuple[Path, ...] = ()

    def __add__(self, other: "Found") -> "Found":
        return Found(
            self.scans + other.scans,
            {**self.failed, **other.failed},
            {**self.passed, **other.passed},
            self.taken + other.taken,
        )

    @property
    def nothing(self) -> bool:
        """Whether the search met no CT at all, sound or not."""
        return not self.scans and not self.failed


def told_apart(scans: Iterable[Scan], source: Path) -> tuple[Scan, ...]:
    """Give scans of one name their folder's too, so that no two yield the same case names.

    Names that differ only in case count as one, since some file systems take them so. A patient id that is not of
    BIDS (``sub-X``) or DICOM's own gets the folder's as well: ``001`` of two sites is two patients.
    """
    listed = list(scans)
    counts = Counter(scan.name.casefold() for scan in listed)
    return tuple(_with_folder(scan, source) if counts[scan.name.casefold()] > 1 else scan for scan in listed)


def _with_folder(scan: Scan, source: Path) -> Scan:
    folder = file_name("_".join(Path(os.path.relpath(scan.ct.parent, source)).parts))
    own = not scan.series and not scan.patient_id.startswith("sub-")
    detail = f"another scan is called {scan.name} too, so its folder is part of its name"
    return replace(
        scan,
        name=f"{folder}_{scan.name}",
        patient_id=f"{folder}_{scan.patient_id}" if own else scan.patient_id,
        decided=(*scan.decided, detail),
    )
