"""Cases come in order, bounded in voxels, one list ahead, and nothing that goes wrong is passed over."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture_vae.errors import InputError
from fracture_vae.maps.cases import CaseDataset, LoadedCase
from fracture_vae.maps.loading import CaseLoader, batched
from fracture_vae.transforms import Preprocessing


@given(sizes=st.lists(st.integers(0, 9), max_size=30), most=st.integers(1, 12))
def test_batches_keep_the_order_and_are_as_large_as_they_may_be(sizes: list[int], most: int) -> None:
    batches = batched(sizes, most)
    assert [index for batch in batches for index in batch] == list(range(len(sizes)))
    totals = [sum(sizes[index] for index in batch) for batch in batches]
    assert all(total <= most or len(batch) == 1 for total, batch in zip(totals, batches, strict=True))
    first = [sizes[batch[0]] for batch in batches]
    assert all(total + following > most for total, following in zip(totals, first[1:], strict=False))


@pytest.fixture
def images(tmp_path: Path, blob: Callable[..., Path]) -> list[str]:
    """Four volumes of 8³ and a large one, third."""
    shapes = [(8, 8, 8), (8, 8, 8), (16, 16, 16), (8, 8, 8), (8, 8, 8)]
    return [str(blob(tmp_path / f"v{n}.nii.gz", shape, seed=n)) for n, shape in enumerate(shapes)]


def test_large_cases_come_alone_and_unreadable_ones_too_with_their_reason(images: list[str]) -> None:
    Path(images[4]).write_bytes(b"")
    loader = CaseLoader(CaseDataset(images, Preprocessing()), batch_voxels=2 * 8**3)
    names = [[case.item["case_id"] for case in batch] for batch in loader]
    assert names == [["v0", "v1"], ["v2"], ["v3", "v4"]]
    assert [case.error != "" for batch in loader for case in batch] == [False] * 4 + [True]
    assert len(loader) == 3


def test_no_more_than_one_batch_is_read_ahead(images: list[str]) -> None:
    read: list[int] = []
    second = threading.Event()

    class Counted(CaseDataset):
        def __getitem__(self, index: int) -> LoadedCase:
            read.append(index)
            if len(read) == 2:
                second.set()
            return super().__getitem__(index)

    batches = iter(CaseLoader(Counted(images, Preprocessing()), batch_voxels=1))
    next(batches)
    assert second.wait(10), "the next one is read while this one is worked on"
    for _ in range(3):
        assert len(read) <= 2, "and no more"
        threading.Event().wait(0.01)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert len(read) <= 3


def test_a_fault_of_the_program_ends_the_run_and_not_only_the_reading(images: list[str]) -> None:
    class Faulty(CaseDataset):
        def __getitem__(self, index: int) -> LoadedCase:
            if index == 1:
                raise ZeroDivisionError("a bug")
            return super().__getitem__(index)

    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(CaseLoader(Faulty(images, Preprocessing()), batch_voxels=1))


@pytest.mark.parametrize("voxels", [0, -1, True, 1.5, "many"])
def test_a_batch_of_no_voxels_is_refused(voxels: int) -> None:
    with pytest.raises(InputError, match=r"batch_voxels is .* whole number of at least 1"):
        CaseLoader(CaseDataset([], Preprocessing()), batch_voxels=voxels)
