"""The quality page: every scan's picture, and every finding, for a person to go through before a study begins."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from fracture_vae.cohort.levels import in_order
from fracture_vae.files import write_csv, write_text
from fracture_vae.markup import anchor, count, document, heads, table, text
from fracture_vae.preparation.finding import Finding
from fracture_vae.preparation.kinds import is_serious

PAGE, TABLE = "quality.html", "quality.csv"


class ScanSummary(NamedTuple):
    """What the page says of one scan.

    Attributes:
        patient_id: whose it is.
        scan: the CT's stem.
        levels: the vertebrae its mask holds, from head to foot.
        shape: voxels along R, A and S.
        spacing: between them, mm.
        sheet: the picture `sheet.draw_sheet` wrote, or None where there is none.
    """

    patient_id: str
    scan: str
    levels: tuple[str, ...]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    sheet: Path | None


def write_page(out: str | os.PathLike[str], scans: Sequence[ScanSummary], findings: Sequence[Finding]) -> Path:
    """Write ``quality.html`` and ``quality.csv`` (the findings) into ``out`` and return the page's path.

    The page needs no network and no script: it refers to the pictures by relative paths, so the folder can be moved
    as long as they lie in it. Serious findings come first, then by patient and scan.

    Args:
        out: a folder; made where it is absent.
        scans: all scans of the study, those without a finding too.
        findings: of all scans.
    """
    folder = Path(out)
    ordered = sorted(findings, key=lambda f: (not is_serious(f.kind), f.patient_id, f.scan))
    body = [_overview(scans, ordered), _table(ordered), _by_level(scans, ordered)]
    for patient_id in sorted({scan.patient_id for scan in scans}):
        own = sorted((scan for scan in scans if scan.patient_id == patient_id), key=lambda scan: scan.scan)
        body.append(_patient(patient_id, own, [f for f in ordered if f.patient_id == patient_id], folder))
    write_csv(folder / TABLE, ("weight", *Finding._fields), ({"weight": _weight(f), **f._asdict()} for f in ordered))
    write_text(folder / PAGE, document("Quality of the prepared scans", "\n".join(body), _STYLE))
    return folder / PAGE


def _overview(scans: Sequence[ScanSummary], findings: Sequence[Finding]) -> str:
    serious = sum(is_serious(finding.kind) for finding in findings)
    patients = sorted({scan.patient_id for scan in scans})
    vertebrae = sum(len(scan.levels) for scan in scans)
    counts = ", ".join(
        (count(len(patients), "patient"), count(len(scans), "scan"), count(vertebrae, "vertebra", "vertebrae"))
    )
    found = f"{count(len(findings), 'finding')}, {serious} of them serious" if findings else "nothing looks wrong"
    links = " · ".join(_link(patient_id) for patient_id in patients)
    return f'<h1>Quality of the prepared scans</h1>\n<p class="lead">{counts}: {found}.</p>\n<p>Patients: {links}</p>'


def _table(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    rows = (
        f'<tr class="{_weight(f)}"><td>{_weight(f)}</td><td>{_link(f.patient_id)}</td><td>{text(f.scan)}</td>'
        f"<td>{text(f.level) or '–'}</td><td>{text(f.kind)}</td>"
        f"<td>{text(f.detail)}</td></tr>"
        for f in findings
    )
    return (
        f'<h2>Findings</h2>\n<p>Also in <a href="{TABLE}">{TABLE}</a>, for a spreadsheet. A finding is a reason to'
        " look, not a verdict; nothing is left out of the cohort because of one.</p>\n"
        + table(heads("Weight", "Patient", "Scan", "Level", "What", "Detail"), rows)
    )


def _by_level(scans: Sequence[ScanSummary], findings: Sequence[Finding]) -> str:
    held = Counter(level for scan in scans for level in scan.levels)
    told = Counter(
        (f.level, _weight(f)) for f in {(f.patient_id, f.scan, f.level, _weight(f)): f for f in findings}.values()
    )
    rows = (
        f"<tr><td>{text(level)}</td><td>{held[level]}</td><td>{told[level, SERIOUS] or ''}</td>"
        f"<td>{told[level, LOOK] or ''}</td></tr>"
        for level in in_order(held)
    )
    return "<h2>Levels</h2>\n" + table(
        heads("Level", "Vertebrae", "with a serious finding", "worth a look"), rows, "narrow"
    )


def _patient(patient_id: str, scans: Sequence[ScanSummary], findings: Sequence[Finding], folder: Path) -> str:
    parts = [f'<section id="{anchor("patient", patient_id)}">\n<h2>{text(patient_id)}</h2>', '<div class="scans">']
    for scan in scans:
        own = [finding for finding in findings if finding.scan == scan.scan]
        parts.append(_figure(scan, own, folder))
    known = {scan.scan for scan in scans}
    parts.append("</div>")
    parts.append(_list(finding for finding in findings if finding.scan not in known))
    return "\n".join([*parts, "</section>"])


def _figure(scan: ScanSummary, findings: Sequence[Finding], folder: Path) -> str:
    size = " × ".join(map(str, scan.shape))
    spacing = " × ".join(f"{step:.3g}" for step in scan.spacing)
    levels = text(", ".join(scan.levels)) or "no level"
    picture = "<p>no picture</p>"
    if scan.sheet is not None:
        link = quote(Path(os.path.relpath(scan.sheet, folder)).as_posix())
        picture = f'<a href="{link}"><img src="{link}" alt="{text(scan.scan)}" loading="lazy"></a>'
    return (
        f"<figure>\n{picture}\n<figcaption><b>{text(scan.scan)}</b><br>{levels}<br>{size} voxels of {spacing} mm"
        f"{_list(findings) or '<p>nothing looks wrong</p>'}</figcaption>\n</figure>"
    )


def _list(findings: Iterable[Finding]) -> str:
    items = "".join(
        f'<li class="{_weight(f)}"><b>{text(f"{f.level}: " if f.level else "")}{text(f.kind)}</b>, '
        f"{text(f.detail)}</li>"
        for f in findings
    )
    return f"<ul>{items}</ul>" if items else ""


SERIOUS, LOOK = "serious", "look"


def _weight(finding: Finding) -> str:
    return SERIOUS if is_serious(finding.kind) else LOOK


def _link(patient_id: str) -> str:
    return f'<a href="#{anchor("patient", patient_id)}">{text(patient_id)}</a>'


_STYLE = """table.narrow { width: auto; }
td { overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; overflow-wrap: normal; }
tr.serious td:first-child, li.serious b { color: var(--serious); font-weight: 700; }
tr.look td:first-child, li.look b { color: var(--look); }
.scans { display: flex; flex-wrap: wrap; gap: 1.5em; }
figure { flex: 0 1 640px; }
figure img { width: 100%; background: black; display: block; }
figcaption { padding: .5em 0; }
figcaption ul { padding-left: 1.2em; margin: .4em 0; }
"""
