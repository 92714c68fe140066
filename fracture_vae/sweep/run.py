"""A sweep from its file to its table: runs side by side, gone on with where it was stopped, compared at the end."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from tqdm import tqdm

from fracture_vae import bundle as bundles
from fracture_vae.errors import InputError, PartialFailure
from fracture_vae.files import replacing, require_folder, write_text
from fracture_vae.report.sweep.figures import Row, read_row
from fracture_vae.report.sweep.plot import trade_off
from fracture_vae.report.sweep.table import csv_text, markdown
from fracture_vae.sweep.folders import Folders, digest_of, epochs_asked, short_names, told
from fracture_vae.sweep.plan import Sweep, read_sweep
from fracture_vae.sweep.source import Grid, Point, Source
from fracture_vae.sweep.study import Study, require_optuna
from fracture_vae.sweep.worker import LOG, Job
from fracture_vae.sweep.workers import Machine, Workers, this_machine

TABLE, PAGE, PICTURE, JOURNAL = "sweep.csv", "sweep.md", "sweep.png", "study.log"
_POLL = 1.0
"""Seconds between looks at how the runs are doing, where a search may prune them."""


@dataclass(frozen=True)
class Swept:
    """What came of a sweep: the runs that are whole, in the order of the table, and why others are not."""

    out: Path
    rows: tuple[Row, ...]
    table: str
    drawn: bool
    failed: Mapping[str, str]

    def summary(self) -> str:
        """Return the table and where it lies, as text for a terminal."""
        if not self.rows:
            return f"no run of {self.out} is whole"
        picture = f", {PICTURE}" if self.drawn else " (no picture: it takes two runs with a KL divergence)"
        return f"{self.table}\n{_counted(len(self.rows))} in {self.out}: {TABLE}, {PAGE}{picture}"

    def raise_failures(self) -> None:
        """Raise `PartialFailure` where a run failed."""
        if self.failed:
            raise PartialFailure(self.failed, len(self.rows))


class _Active(NamedTuple):
    """A run at work, and the points that wait for it: a search may come upon one twice."""

    folder: Path
    points: list[Point]


def run_sweep(file: Path, out: Path | None = None, jobs: int | None = None) -> Swept:
    """Train every run that the YAML ``file`` asks for and that is not whole yet, and compare them all.

    Each is a normal run folder in ``out``, with what its process said in ``train.log``; the table, the picture and a
    search's study lie beside them. Stopped, the same call goes on: a run that died is resumed from its last
    checkpoint, or started anew where it kept none.

    Args:
        file: see :func:`~fracture_vae.sweep.plan.read_sweep`.
        out: the runs' folder; by default ``runs/<name of the file>`` in the bundle.
        jobs: runs side by side, which share the processor's cores.

    Raises:
        InputError: for anything wrong with what was given, before anything starts; when another sweep works there.
    """
    sweep = read_sweep(file)
    if sweep.search is not None:
        require_optuna()
    out = (out or sweep.bundle / "runs" / file.stem).resolve()
    require_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".sweep.lock", timeout=0):
            return _run(sweep, out, jobs, this_machine())
    except Timeout as error:
        raise InputError(f"{out}: another sweep is at work there; wait for it, or give another --out") from error


def _run(sweep: Sweep, out: Path, jobs: int | None, machine: Machine) -> Swept:
    config = bundles.load(sweep.configs)
    folders = Folders(out)
    source = _source(sweep, config, out)
    known = {**dict.fromkeys(sweep.keys, "swept"), **sweep.settings}
    jobs = jobs or machine.default_jobs(known)
    with (
        tqdm(total=source.left, desc="runs", unit="run", file=sys.stderr) as bar,
        Workers(machine.shares(jobs, known)) as workers,
    ):
        conductor = _Conductor(sweep, config, folders, source, workers, bar)
        conductor.run()
    return _compare(sweep, out, _wanted(sweep, config, folders, source), conductor.failed)


@dataclass
class _Conductor:
    """Keeps the workers busy and the source told; ``failed`` gathers why runs failed, by their swept values."""

    sweep: Sweep
    config: Mapping[str, Any]
    folders: Folders
    source: Source
    workers: Workers
    bar: tqdm
    failed: dict[str, str] = field(default_factory=dict)
    active: dict[str, _Active] = field(default_factory=dict)

    def run(self) -> None:
        """Work until there is nothing left to do; interrupted, say what becomes of it."""
        try:
            while True:
                while self.workers.free and (point := self.source.ask()) is not None:
                    self._begin(point)
                if not self.active:
                    return
                for ended in self.workers.wait(_POLL if self.source.watches else None):
                    self._end(ended.key, ended.failure)
                self._prune()
        except KeyboardInterrupt:
            self.bar.write(f"stopping {_counted(len(self.active))}; the same command goes on there", file=sys.stderr)
            raise

    def _begin(self, point: Point) -> None:
        overrides = {**self.sweep.settings, **point.values}
        digest = digest_of(self.config, overrides)
        if (whole := self.folders.whole(digest)) is not None:
            self.source.tell(point, whole)
            self.bar.update()
        elif digest in self.active:
            self.active[digest].points.append(point)
        else:
            place = self.folders.place(digest, point.values, epochs_asked(self.config, overrides))
            self.active[digest] = _Active(place.folder, [point])
            self.workers.start(digest, self._job(overrides, place.folder, place.goes_on))

    def _job(self, overrides: dict[str, Any], folder: Path, goes_on: bool) -> Job:
        out = self.folders.out
        quiet = {"progress": False} if "progress" in self.config else {}
        named = {"project_dir": str(out.parent), "group": out.name, "run_name": folder.name[13:]}
        placed = {"run_dir": str(folder), **({"resume": str(folder)} if goes_on else {})}
        return Job(self.sweep.configs, {**quiet, **overrides, **named, **placed}, folder)

    def _end(self, digest: str, failure: str | None) -> None:
        run = self.active.pop(digest)
        for point in run.points:
            self.source.tell(point, run.folder if failure is None else None)
            self.bar.update()
        values = told(run.points[0].values)
        if failure is not None:
            self.failed[values] = failure
            self.bar.write(f"{values}: failed, see {run.folder / LOG}", file=sys.stderr)
            return
        figures = read_row(run.points[0].values, run.folder).figures
        reached = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.bar.write(f"{values}: {reached}", file=sys.stderr)

    def _prune(self) -> None:
        if not self.source.watches:
            return
        for digest, run in list(self.active.items()):
            if self.source.pruned(run.points[0], run.folder):
                self.workers.stop(digest)
                del self.active[digest]
                for point in run.points[1:]:
                    self.source.tell(point, None)
                self.bar.update()
                self.bar.write(f"{told(run.points[0].values)}: pruned", file=sys.stderr)


def _source(sweep: Sweep, config: Mapping[str, Any], out: Path) -> Source:
    if sweep.search is None:
        return Grid(sweep.points())
    name = digest_of(config, {**sweep.settings, "search": sweep.search.identity()})[:16]
    return Study(sweep.search, out / JOURNAL, name)


def _wanted(
    sweep: Sweep, config: Mapping[str, Any], folders: Folders, source: Source
) -> list[tuple[Mapping[str, Any], Path]]:
    """Return the values and folders of the sweep's whole runs, each once, in the order of the table."""
    found: dict[str, tuple[Mapping[str, Any], Path]] = {}
    for values in source.done():
        digest = digest_of(config, {**sweep.settings, **values})
        if (folder := folders.whole(digest)) is not None:
            found.setdefault(digest, (values, folder))
    return list(found.values())


def _compare(sweep: Sweep, out: Path, runs: list[tuple[Mapping[str, Any], Path]], failed: Mapping[str, str]) -> Swept:
    metric = sweep.search.minimise if sweep.search is not None else None
    rows = tuple(read_row(values, folder, metric) for values, folder in runs)
    if not rows:
        return Swept(out, (), "", drawn=False, failed=failed)
    names = short_names(sweep.keys)
    table = markdown(rows, names)
    title = f"{sweep.file.stem}: {_counted(len(rows))} of {sweep.bundle.resolve().name}"
    write_text(out / TABLE, csv_text(rows))
    figure = trade_off(rows, names, title)
    if figure is not None:
        with replacing(out / PICTURE) as temporary:
            figure.savefig(temporary, dpi=130)
    write_text(out / PAGE, _page(sweep, title, table, drawn=figure is not None))
    return Swept(out, rows, table, figure is not None, failed)


def _page(sweep: Sweep, title: str, table: str, *, drawn: bool) -> str:
    fixed = ", ".join(f"`{key}` {value}" for key, value in sweep.settings.items()) or "the bundle's own settings"
    explained = (
        "recon, kl and total are the last validation's means per image (nats, of a VAE); elbo is −(recon + kl),"
        " whatever the KL term's weight in total; nll is the bound on −log p(x) that a VAE's run ends with; seconds are"
        " the whole run's."
    )
    picture = f"\n![Reconstruction against KL divergence]({PICTURE})\n" if drawn else ""
    return f"# {title}\n\nFixed: {fixed}.\n\n{table}\n{explained}\n{picture}"


def _counted(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"
