"""What was done about a scan, so that a later run need not do it again: ``DIR/prepared/<scan>.json``."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fracture_vae import __version__
from fracture_vae.cohort.case import Case, case_fields, parse_case
from fracture_vae.errors import InputError
from fracture_vae.files import sha256, write_text
from fracture_vae.preparation.finding import Finding

FOLDER = "prepared"


@dataclass(frozen=True)
class Input:
    """A file a scan was made from: path, size, time of change (ns) and SHA-256."""

    path: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Input":
        """Read a file's."""
        stat = path.stat()
        return cls(str(path), stat.st_size, stat.st_mtime_ns, sha256(path))

    def is_still(self, path: Path) -> bool:
        """Whether ``path`` holds what this one held: same size and time, or the same bytes."""
        try:
            stat = path.stat()
            if stat.st_size != self.size:
                return False
            same_file = str(path) == self.path and stat.st_mtime_ns == self.mtime_ns
            return same_file or sha256(path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class Record:
    """A prepared scan.

    Attributes:
        scan: its name.
        patient_id: whose it is.
        ct: the file or folder of its CT.
        version: of this package.
        settings: what it was prepared with.
        inputs: the files it was made from, the CT's first.
        levels: the vertebrae its mask holds, head to foot.
        shape: voxels of the CT along R, A and S.
        spacing: between them, mm.
        rows: its cases as `case_fields` gives them, relative to the cohort's folder.
        findings: what a person should look at.
        content: hash of what the CT shows.
        decided: what was decided about it.
    """

    scan: str
    patient_id: str
    ct: str
    version: str
    settings: Mapping[str, Any]
    inputs: tuple[Input, ...]
    levels: tuple[str, ...]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    rows: tuple[Mapping[str, str], ...]
    findings: tuple[Finding, ...]
    content: str
    decided: tuple[str, ...]

    def cases(self, out: Path) -> list[Case]:
        """Return its cases."""
        where = str(record_path(out, self.scan))
        return [parse_case(fields, out, where, 0) for fields in self.rows]

    def is_current(self, out: Path, settings: Mapping[str, Any], files: Iterable[Path]) -> bool:
        """Whether preparing again would give the same: version, settings, inputs as then, all its files there."""
        if (self.version, dict(self.settings)) != (__version__, dict(settings)):
            return False
        listed = list(files)
        if len(listed) != len(self.inputs):
            return False
        if not all(known.is_still(path) for known, path in zip(self.inputs, listed, strict=True)):
            return False
        try:
            self.cases(out)
        except InputError:  # a crop is gone
            return False
        return True


def record_path(out: Path, scan: str) -> Path:
    """Return where a scan's record lies."""
    return out / FOLDER / f"{scan}.json"


def write_record(out: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    write_text(record_path(out, record.scan), json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n")


def read_record(out: Path, scan: str) -> Record | None:
    """Return a scan's record, or None where there is none that can be read."""
    try:
        content = json.loads(record_path(out, scan).read_text(encoding="utf-8"))
        record = Record(**content)
        return replace(
            record,
            inputs=tuple(Input(**entry) for entry in content["inputs"]),
            levels=tuple(content["levels"]),
            shape=tuple(content["shape"]),
            spacing=tuple(content["spacing"]),
            rows=tuple(content["rows"]),
            findings=tuple(Finding(*entry) for entry in content["findings"]),
            decided=tuple(content["decided"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def all_records(out: Path) -> list[Record]:
    """Return every record in a cohort's folder, by scan."""
    names = sorted(path.name.removesuffix(".json") for path in (out / FOLDER).glob("*.json"))
    return [record for name in names if (record := read_record(out, name)) is not None]


def rows_of(cases: Iterable[Case], out: Path) -> tuple[dict[str, str], ...]:
    """Return cases as a record's rows."""
    return tuple(case_fields(case, out) for case in cases)
