"""What is done about one scan, in a process of its own: read once, checked, cropped, drawn, recorded."""

import os
import signal
import threading
import traceback
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

from nibabel.affines import voxel_sizes

from fracture_vae import __version__
from fracture_vae.cohort.crop import CropSettings, Vertebrae, crop_scan
from fracture_vae.cohort.inputs import check_volumes
from fracture_vae.cohort.levels import in_order
from fracture_vae.cohort.naming import Naming
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.preparation.centroids import read_centroids
from fracture_vae.preparation.checks import check_scan, content_hash
from fracture_vae.preparation.dicom import convert, series_files
from fracture_vae.preparation.masks import read_mask
from fracture_vae.preparation.records import Input, Record, record_path, rows_of, write_record
from fracture_vae.preparation.scan import AUTO, Scan
from fracture_vae.preparation.sheet import draw_sheet

SOURCES, SHEETS = "sources", "sheets"
Result = tuple[Scan, Record | str]


@dataclass(frozen=True)
class Settings:
    """What all scans of a run are prepared with.

    Args:
        labels: what the masks' numbers mean: `AUTO`, ``verse``, ``totalsegmentator`` or a file.
        levels: the levels to crop; None takes all vertebrae.
        crop: size, spacing and window of the crops.
    """

    labels: str = AUTO
    levels: tuple[str, ...] | None = None
    crop: CropSettings = field(default_factory=CropSettings)

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON would give them back."""
        return {
            "labels": self.labels,
            "levels": None if self.levels is None else list(self.levels),
            **{name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.crop).items()},
        }


def input_files(scan: Scan) -> list[Path]:
    """Return every file a scan is made from, the CT's first."""
    cts = series_files(scan.ct, scan.series) if scan.series else [scan.ct]
    others = [scan.mask, *(path for _, path in scan.structures), scan.truth, scan.centroids]
    labels = [Path(scan.labels)] if Path(scan.labels).is_file() else []
    return [*cts, *(path for path in others if path is not None), *labels]


def ct_path(scan: Scan, out: Path) -> Path:
    """Return the volume a scan's crops are cut from: its CT, or the copy of a DICOM series."""
    return out / SOURCES / f"{scan.name}.nii.gz" if scan.series else scan.ct


def prepare_scan(scan: Scan, out: Path, settings: Settings) -> Record:
    """Check, draw and crop a scan and write its record last, so that a record says that all its files are whole.

    Raises:
        InputError: the scan cannot be prepared; none of its crops is touched then.
    """
    inputs = tuple(Input.of(path) for path in input_files(scan))
    source = ct_path(scan, out)
    if scan.series:
        convert(scan.ct, scan.series, source)
    ct, mask = read_volume(source), read_mask(scan)
    truth = None if scan.truth is None else read_volume(scan.truth, allow_constant=True)
    check_volumes(ct, mask.volume, truth, settings.crop.hu_window)
    vertebrae = Vertebrae.of(mask.volume, mask.labels, settings.levels)
    centroids = read_centroids(scan.centroids, mask.volume, vertebrae.present) if scan.centroids else None
    findings = check_scan(scan.patient_id, scan.name, ct, mask.volume, vertebrae.present, centroids)

    record_path(out, scan.name).unlink(missing_ok=True)  # from here on the old crops are being replaced
    cases = crop_scan(ct, vertebrae, truth, out, Naming(scan.name, scan.patient_id, source), settings.crop)
    sheet = out / SHEETS / f"{scan.name}.png"
    draw_sheet(sheet, f"{scan.patient_id}  {scan.name}", ct, mask.volume, vertebrae.present, findings)
    i, j, k = ct.array.shape
    x, y, z = voxel_sizes(ct.affine).tolist()
    record = Record(
        scan=scan.name,
        patient_id=scan.patient_id,
        ct=str(scan.ct),
        version=__version__,
        settings=settings.to_json(),
        inputs=inputs,
        levels=tuple(in_order(vertebrae.present)),
        shape=(i, j, k),
        spacing=(x, y, z),
        rows=rows_of(cases, out),
        findings=tuple(findings),
        content=content_hash(ct),
        decided=(*scan.decided, *mask.decided),
    )
    write_record(out, record)
    return record


def prepare_all(scans: Sequence[Scan], out: Path, settings: Settings, jobs: int) -> Generator[Result, None, None]:
    """Yield each scan with its record, or with why it failed, as they get done.

    With one job everything happens in this process. Closed early, it waits for the scans begun and starts few others:
    the pool hands out one more than it has processes.
    """
    if jobs == 1:
        for scan in scans:
            yield scan, _attempt(scan, out, settings)
        return
    if not scans:
        return
    workers = min(jobs, len(scans))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        futures = {pool.submit(_attempt, scan, out, settings): scan for scan in scans}
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool:
                    yield futures[future], "its process died (out of memory?); run again with fewer --jobs"
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _attempt(scan: Scan, out: Path, settings: Settings) -> Record | str:
    """Prepare a scan; whatever goes wrong with it is returned in words, so that the others go on."""
    try:
        return prepare_scan(scan, out, settings)
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or scan.ct}: {error.strerror or error}; check the disk and run again"
    except MemoryError:
        return "not enough memory for it; run again with fewer --jobs"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        return f"unexpected {type(error).__name__} in {place}: {error}; please report it"


def _begin() -> None:
    """Set up a worker: Ctrl-C is the parent's to handle, and no worker outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
