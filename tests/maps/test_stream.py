"""Writing beside the network: in order, bounded, and whole whatever ends it."""

import threading
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import PartialFailure
from fracture_vae.jobs import infer_cases
from fracture_vae.maps import writer as writer_module
from fracture_vae.maps.cases import CaseDataset, LoadedCase
from fracture_vae.maps.inference import Viewed
from fracture_vae.maps.maker import MapMaker
from fracture_vae.maps.scores import compose
from fracture_vae.maps.table import read_scores
from fracture_vae.maps.writer import KINDS, MapWriter
from fracture_vae.transforms import Preprocessing


@pytest.fixture
def cases(tmp_path: Path, blob: Callable[..., Path]) -> list[LoadedCase]:
    """Six cases of 8³, v0 to v5."""
    paths = [str(blob(tmp_path / "in" / f"v{n}.nii.gz", (8, 8, 8), seed=n)) for n in range(6)]
    dataset = CaseDataset(paths, Preprocessing())
    return [dataset[index] for index in range(len(dataset))]


def viewed(cases: Iterable[LoadedCase]) -> list[Viewed]:
    return [Viewed(case, torch.full_like(case.image, 0.5)) for case in cases]


def run(writer: MapWriter, cases: list[LoadedCase], step: Callable[[LoadedCase], None] = lambda _: None) -> None:
    """An engine over the cases, one a batch."""

    def process(_: Engine, case: LoadedCase) -> list[Viewed]:
        step(case)
        return viewed([case])

    engine = Engine(process)
    writer.attach(engine)
    engine.run(cases, max_epochs=1)


def make(folder: Path) -> MapWriter:
    return MapWriter(folder, MapMaker(compose("l1")), {}, Preprocessing(), maps=["error"])


def test_scores_are_in_the_order_of_the_cases_whichever_is_written_first(
    cases: list[LoadedCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, write = threading.Event(), MapWriter._write

    def slow_first(self: MapWriter, result: Viewed) -> dict[str, Any]:
        if result.case.item["case_id"] == "v0":
            assert later.wait(10)
        row = write(self, result)
        if result.case.item["case_id"] == "v3":
            later.set()
        return row

    monkeypatch.setattr(MapWriter, "_write", slow_first)
    run(make(tmp_path / "out"), cases)
    assert [row["case_id"] for row in read_scores(tmp_path / "out" / "scores.csv")] == [f"v{n}" for n in range(6)]


def test_what_is_reconstructed_is_written_whole_when_the_user_stops_the_run(
    cases: list[LoadedCase], tmp_path: Path
) -> None:
    def stop_at_v4(case: LoadedCase) -> None:
        if case.item["case_id"] == "v4":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make(tmp_path / "out"), cases, stop_at_v4)
    assert [row["case_id"] for row in read_scores(tmp_path / "out" / "scores.csv")] == ["v0", "v1", "v2", "v3"]
    for n in range(4):
        error = read_volume(tmp_path / "out" / f"v{n}_error.nii.gz").array
        np.testing.assert_array_equal(error, (cases[n].image - 0.5).abs()[0, 0].numpy())
    assert len(list((tmp_path / "out").iterdir())) == 4 * 2 + 1, "maps, sidecars, scores.csv"


def test_a_disk_that_fails_for_a_case_is_told_of_that_case(
    cases: list[LoadedCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_map = writer_module.write_map

    def full(path: Path, *arguments: Any, **more: Any) -> None:
        if path.name.startswith(("v2", "v4")):
            raise OSError(28, "No space left on device")
        write_map(path, *arguments, **more)

    monkeypatch.setattr(writer_module, "write_map", full)
    writer = make(tmp_path / "out")
    run(writer, cases)
    with pytest.raises(PartialFailure) as failure:
        writer.report()
    assert [name.split()[0] for name in failure.value.failed] == ["v2", "v4"]
    assert all("No space left" in reason for reason in failure.value.failed.values())
    assert failure.value.written == 4
    assert [row["case_id"] for row in read_scores(tmp_path / "out" / "scores.csv")] == ["v0", "v1", "v3", "v5"]


def test_only_so_many_cases_are_in_memory_however_many_there_are(
    tiny_run: Path, blob: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, count = 16**3, 24
    blob(tmp_path / "one.nii.gz")
    images = [tmp_path / f"v{n:02}.nii.gz" for n in range(count)]
    for path in images:
        path.hardlink_to(tmp_path / "one.nii.gz")
    alive: list[weakref.ref[torch.Tensor]] = []
    most, read, write = 0, CaseDataset.__getitem__, MapWriter._write

    def counted(self: CaseDataset, index: int) -> LoadedCase:
        nonlocal most
        case = read(self, index)
        alive.append(weakref.ref(case.image))
        most = max(most, sum(image() is not None for image in alive))
        return case

    def slow(self: MapWriter, result: Viewed) -> dict[str, Any]:
        time.sleep(0.002)  # so that writing is what all wait for
        return write(self, result)

    monkeypatch.setattr(CaseDataset, "__getitem__", counted)
    monkeypatch.setattr(MapWriter, "_write", slow)
    monkeypatch.setattr(writer_module, "_WAITING", 4 * size)
    settings = {"images": [str(path) for path in images], "device": "cpu", "batch_voxels": 2 * size}
    infer_cases(tiny_run, tmp_path / "out", settings)
    assert len(read_scores(tmp_path / "out" / "scores.csv")) == count
    # two being read, two ahead, two in the network or on their way from it, the two before them, four being written
    assert 4 < most <= 12
    assert all((tmp_path / "out" / f"v{n:02}_{kind}.nii.gz").is_file() for n in range(count) for kind in KINDS)


def test_processes_that_read_give_the_same_maps(tiny_run: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    settings = {"cohort": str(tiny_cohort), "device": "cpu", "precision": "fp32"}
    for workers in (0, 1):
        infer_cases(tiny_run, tmp_path / str(workers), {**settings, "dataloader#num_workers": workers})
    first, second = (read_scores(tmp_path / str(workers) / "scores.csv") for workers in (0, 1))
    assert first == second
    for row in first:
        maps = [read_volume(tmp_path / str(workers) / row["error_map"]).array for workers in (0, 1)]
        np.testing.assert_array_equal(*maps)
