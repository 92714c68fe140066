"""Where volumes are held changes nothing but where they are held."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fracture_vae.cohort.manifest import Case
from fracture_vae.errors import InputError
from fracture_vae.training import BatchLoader, VolumeDataset, storage
from fracture_vae.transforms import AugmentConfig, Preprocessing

SHAPES = [(8, 8, 8), (5, 8, 6), (8, 3, 8), (8, 8, 7)]
CPU = torch.device("cpu")


def dataset(folder: Path, where: str) -> VolumeDataset:
    cases = []
    for index, shape in enumerate(SHAPES):
        np.save(folder / f"{index}.npy", np.random.default_rng(index).random(shape, dtype=np.float32))
        cases.append(Case(case_id=str(index), patient_id=str(index), image=folder / f"{index}.npy"))
    return VolumeDataset(cases, Preprocessing("none"), multiple=8, storage=where)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRACTURE_VAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_batches_from_a_file_equal_those_from_memory(tmp_path: Path, cache: Path) -> None:
    loaders = [
        BatchLoader(dataset(tmp_path, where), 2, shuffle=True, augmentation=AugmentConfig(), seed=1)
        for where in ("memory", "file")
    ]
    for _ in range(2):
        for ours, theirs in zip(*loaders, strict=True):
            assert torch.equal(ours["image"], theirs["image"])
            assert torch.equal(ours["valid"], theirs["valid"])


def test_a_file_leaves_nothing_behind_even_while_in_use(tmp_path: Path, cache: Path) -> None:
    held = dataset(tmp_path, "file")
    assert list(cache.iterdir()) == []
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert f"{cache}/volumes-" in mapped
    del held
    assert f"{cache}/volumes-" not in Path("/proc/self/maps").read_text(encoding="utf-8")


def test_memory_is_left_for_a_file_when_volumes_would_fill_more_than_half(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    files = []
    monkeypatch.setattr(storage, "_in_file", lambda shape, needed: files.append(needed) or torch.zeros(shape))
    for memory, expected in ((4 * 8**3 * 2, []), (4 * 8**3 * 2 - 2, [2 * 8**3 * 2])):
        monkeypatch.setattr(storage, "available_memory", lambda memory=memory: memory)
        storage.hold((2, 1, 8, 8, 8), "auto", CPU)
        assert files == expected


def test_available_memory_is_what_the_system_says_at_most() -> None:
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert 0 < storage.available_memory() <= int(total.split()[1]) * 1024


def test_a_full_disk_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    with pytest.raises(InputError, match=r"cache: no room for 9007199\.3 GB of volumes .*FRACTURE_VAE_CACHE"):
        storage.hold((2**22, 1, 1024, 1024, 1024), "file", CPU)
    assert list(cache.iterdir()) == []


def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(InputError, match="storage 'disk' is not one of auto, device, memory, file"):
        storage.hold((1,), "disk", CPU)
