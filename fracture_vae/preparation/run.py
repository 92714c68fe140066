"""Whole folders of scans become a cohort: found, prepared side by side, joined into one ``cohort.csv``."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from fracture_vae.alone import alone_in
from fracture_vae.cohort.case import Case, absolute
from fracture_vae.cohort.earlier import carried_over
from fracture_vae.cohort.levels import check_wanted, in_order, label_map
from fracture_vae.cohort.manifest import check_cases, read_cohort, write_cohort
from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.files import require_folder
from fracture_vae.markup import count
from fracture_vae.preparation.boxes_csv import DrawnBox, join_boxes, read_boxes, scan_of
from fracture_vae.preparation.checks import duplicates
from fracture_vae.preparation.finding import Finding
from fracture_vae.preparation.labels_csv import Reading, check_patients, join_labels, read_labels
from fracture_vae.preparation.layouts import find_scans
from fracture_vae.preparation.page import ScanSummary, write_page
from fracture_vae.preparation.records import Input, Record, all_records, read_record, write_record
from fracture_vae.preparation.scan import AUTO, Found, Scan
from fracture_vae.preparation.work import SHEETS, Result, Settings, ct_path, input_files, prepare_all


class Tables(NamedTuple):
    """What people know of the scans, as tables; either may be None."""

    labels: Path | None = None
    boxes: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """What a run did.

    Attributes:
        table: the cohort.
        page: what looks wrong, for a browser.
        cases: all rows of the cohort.
        records: the prepared scans of this run's source.
        unchanged: how many of them an earlier run had prepared.
        findings: what a person should look at.
        failed: scans and rows that could not be used, to why.
        passed: what in the source was passed over, to why.
    """

    table: Path
    page: Path
    cases: tuple[Case, ...]
    records: tuple[Record, ...]
    unchanged: int
    findings: tuple[Finding, ...]
    failed: Mapping[str, str]
    passed: Mapping[str, str]

    def summary(self) -> str:
        """Return the closing words for the terminal."""
        patients = count(len({record.patient_id for record in self.records}), "patient")
        levels = Counter(case.level for case in self.cases)
        decided = Counter(sentence for record in self.records for sentence in record.decided)
        lines = [f"{where}: passed over, {why}" for where, why in self.passed.items()]
        lines += [f"of {count(number, 'scan')}: {sentence}" for sentence, number in decided.most_common(8)]
        before = f" ({self.unchanged} prepared before)" if self.unchanged else ""
        lines += [
            f"{count(len(self.records), 'scan')}{before} of {patients}",
            f"{count(len(self.cases), 'crop')} in {self.table}",
            "crops a level: " + ", ".join(f"{level} {levels[level]}" for level in in_order(levels)),
            f"{count(len(self.findings), 'finding')} to look at: {self.page}",
        ]
        return "\n".join([*lines, f"next: {self._next()}"])

    def _next(self) -> str:
        missing = [name for name in ("label", "fold") if all(getattr(case, name) in (None, "") for case in self.cases)]
        steps = {
            "label": f"fill label (0 normal, 1 abnormal) in {self.table}",
            "fold": f"fracture-vae cohort split {self.table} --holdout 0.2",
            "": f"fracture-vae train bundles/vq3d --cohort {self.table} --fold all",
        }
        return ", then ".join(steps[name] for name in (*missing, ""))

    def raise_failures(self) -> None:
        """Raise `PartialFailure` where anything failed."""
        if self.failed:
            raise PartialFailure(self.failed, len(self.cases))


def prepare(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: Settings,
    *,
    layout: str = "auto",
    jobs: int = 1,
    tables: Tables = Tables(),  # noqa: B008
    progress: Callable[[Iterable[Result], int], Iterable[Result]] = lambda results, _: results,
) -> Prepared:
    """Prepare all scans below a folder and write ``cohort.csv``, the quality page and a record a scan into ``out``.

    Scans whose record matches (same files, settings and version) are not done again. However a run ends, the next one
    goes on from the records; an interrupted run still writes the table of what is done. What people filled in in
    cohort.csv stays, and so do rows of other sources. Nothing is written into ``source``.

    Args:
        source: folder of scans, in any of `layouts.LAYOUTS`, also side by side.
        out: folder of the cohort.
        settings: labels, levels, crops.
        layout: ``auto`` or the only one to look for.
        jobs: processes.
        tables: labels and boxes to join.
        progress: wraps the results, whose number it is told, as tqdm does.

    Raises:
        InputError: nothing found, a folder that cannot be used, an unknown label map or level, a faulty table.
        PartialFailure: no scan could be prepared and there are none from before. Where some could, the others are
            listed in the result.
    """
    folder = _out_folder(source, out)
    named = {} if settings.labels == AUTO else label_map(settings.labels)
    check_wanted(settings.levels, named, settings.labels)
    found = find_scans(source, layout, map_named=settings.labels != AUTO)
    table = folder / "cohort.csv"
    earlier = read_cohort(table).cases if table.exists() else ()
    readings = read_labels(tables.labels) if tables.labels else []
    boxes = read_boxes(tables.boxes) if tables.boxes else []
    check_patients(readings, [*(scan.patient_id for scan in found.scans), *(case.patient_id for case in earlier)])
    found = _without_namesakes(_with_labels(found, settings.labels), folder, earlier)
    with alone_in(folder, "give another --out", (".writing-*", "*/.writing-*")):
        records = {scan.name: record for scan in found.scans if (record := _current(scan, folder, settings))}
        waiting = [scan for scan in found.scans if scan.name not in records]
        unchanged, failed = len(records), dict(found.failed)
        try:
            with closing(prepare_all(waiting, folder, settings, jobs)) as results:
                for scan, result in progress(results, len(waiting)):
                    if isinstance(result, Record):
                        records[scan.name] = result
                    else:
                        failed[str(scan.ct)] = result
        finally:  # also when interrupted; some scans were done while the others were stopped
            missed = [scan for scan in waiting if scan.name not in records and str(scan.ct) not in failed]
            records |= {scan.name: record for scan in missed if (record := _current(scan, folder, settings))}
            done = [scan for scan in found.scans if scan.name in records]
            cases, findings, unusable = _write_table(table, earlier, done, records, readings, boxes)
        if not cases:
            raise PartialFailure(failed, 0)
        page, told = _write_page(folder, findings)
    return Prepared(
        table=table,
        page=page,
        cases=tuple(cases),
        records=tuple(records[scan.name] for scan in done),
        unchanged=unchanged,
        findings=tuple(told),
        failed={**failed, **unusable},
        passed=found.passed,
    )


def _current(scan: Scan, out: Path, settings: Settings) -> Record | None:
    """Return a scan's record where preparing it again would give the same; after a move it says the new place."""
    record = read_record(out, scan.name)
    files = input_files(scan)
    if record is None or not record.is_current(out, settings.to_json(), files):
        return None
    if record.ct != str(scan.ct):
        record = replace(record, ct=str(scan.ct), inputs=tuple(map(Input.of, files)))
        write_record(out, record)
    return record


def _out_folder(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    require_folder(out)
    folder = absolute(out)
    inside = Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(source))
    if inside:
        raise InputError(f"{out}: lies in {source}, into which nothing is written; give --out another folder")
    return folder


def _with_labels(found: Found, labels: str) -> Found:
    """Apply the map the user names to the masks whose numbers would decide themselves."""
    named = absolute(labels) if Path(labels).is_file() else labels
    scans = [replace(s, labels=str(named)) if s.labels == AUTO and s.mask else s for s in found.scans]
    return replace(found, scans=tuple(scans))


def _without_namesakes(found: Found, out: Path, earlier: Sequence[Case]) -> Found:
    """Move scans to the failed ones whose case names the cohort holds already, from another scan.

    A scan is the same as before where its file is, or where it has the same bytes (a study that was moved).
    """
    failed = dict(found.failed)
    fit = []
    for scan in found.scans:
        before = read_record(out, scan.name)
        moved = before is not None and before.ct != str(scan.ct) and before.inputs[0].is_still(input_files(scan)[0])
        same = {os.path.realpath(ct_path(scan, out)), *([os.path.realpath(before.ct)] if moved and before else [])}
        strangers = [
            case
            for case in earlier
            if case.level and scan_of(case) == scan.name and os.path.realpath(case.source_image or "") not in same
        ]
        if strangers or (before is not None and before.ct != str(scan.ct) and not moved):
            failed[str(scan.ct)] = f"the cohort in {out} holds another scan of the name {scan.name}; rename one"
        else:
            fit.append(scan)
    return replace(found, scans=tuple(fit), failed=failed)


def _write_table(
    table: Path,
    earlier: Sequence[Case],
    scans: Sequence[Scan],
    records: Mapping[str, Record],
    readings: Sequence[Reading],
    boxes: Sequence[DrawnBox],
) -> tuple[list[Case], list[Finding], dict[str, str]]:
    """Write the cohort of all records and of earlier rows of other scans; remove crops no row names any more."""
    out = table.parent
    names = {scan.name for scan in scans}
    kept = [case for case in earlier if scan_of(case) not in names]
    replaced = {case.case_id: case for case in earlier if scan_of(case) in names}
    fresh = [
        carried_over(replace(case, source_image=ct_path(scan, out)), replaced.get(case.case_id), None)
        for scan in scans
        for case in records[scan.name].cases(out)
    ]
    if not kept and not fresh:
        return [], [], {}
    labelled = join_labels([*kept, *fresh], readings)
    boxed = join_boxes(labelled.cases, boxes)
    check_cases(table, boxed.cases)
    write_cohort(table, boxed.cases)
    _remove_unnamed(replaced.values(), boxed.cases, out)
    return boxed.cases, labelled.findings, boxed.failed


def _remove_unnamed(old: Iterable[Case], cases: Iterable[Case], out: Path) -> None:
    named = {path for case in cases for path in _files(case)}
    for case in old:
        for path in _files(case) - named:
            if path.parent == out:  # of a truth that people keep elsewhere nothing is removed
                path.unlink(missing_ok=True)


def _files(case: Case) -> set[Path]:
    return {path for path in (case.image, case.mask, case.vertebra_mask) if path is not None}


def _write_page(out: Path, joined: Sequence[Finding]) -> tuple[Path, list[Finding]]:
    """Write the quality page of everything ever prepared into the folder; return it with all findings."""
    records = all_records(out)
    findings = [*joined, *(finding for record in records for finding in record.findings)]
    findings += duplicates({(record.patient_id, record.scan): record.content for record in records})
    summaries = [
        ScanSummary(
            record.patient_id,
            record.scan,
            record.levels,
            record.shape,
            record.spacing,
            out / SHEETS / f"{record.scan}.png",
        )
        for record in records
    ]
    return write_page(out, summaries, findings), findings
