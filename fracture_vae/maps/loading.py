"""Reading ahead: the next cases are read while the network runs over these."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch.utils.data import DataLoader

from fracture_vae.cohort.volumes import read_stored
from fracture_vae.errors import InputError
from fracture_vae.maps.cases import CaseDataset, LoadedCase

BATCH_VOXELS = 4 * 128**3
"""Four crops of 128³: enough to keep a GPU busy and every core of a small machine."""


class CaseLoader(DataLoader[LoadedCase]):
    """Gives the cases of a dataset in order, as lists of at most so many voxels, and reads one list ahead in a thread.

    Cases are counted by their voxels, so that memory stays bounded whatever their size: a case larger than
    ``batch_voxels`` comes alone.

    Args:
        dataset: the cases.
        batch_voxels: how many voxels go through the network together.
        num_workers: processes that read; with 0 the thread itself reads, which suits all but a fast GPU.
    """

    def __init__(self, dataset: CaseDataset, batch_voxels: int = BATCH_VOXELS, num_workers: int = 0) -> None:
        if isinstance(batch_voxels, bool) or not isinstance(batch_voxels, int) or batch_voxels < 1:
            raise InputError(f"batch_voxels is {batch_voxels!r}; it must be a whole number of at least 1")
        sizes = [_voxels(dataset.item(index)["image"]) for index in range(len(dataset))]
        batches = batched(sizes, batch_voxels)
        super().__init__(dataset, batch_sampler=batches, num_workers=num_workers, collate_fn=list)

    def __iter__(self) -> Iterator[list[LoadedCase]]:  # type: ignore[override]
        batches = super().__iter__()
        with ThreadPoolExecutor(1, "reader") as reader:
            ahead = reader.submit(next, batches, None)
            while (batch := ahead.result()) is not None:
                ahead = reader.submit(next, batches, None)
                yield batch


def batched(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Return the indices of ``sizes`` in order, in lists whose sizes sum to at most ``most``, or of one index."""
    batches: list[list[int]] = []
    total = 0
    for index, size in enumerate(sizes):
        if batches and total + size <= most:
            batches[-1].append(index)
            total += size
        else:
            batches.append([index])
            total = size
    return batches


def _voxels(image: Any) -> int:
    try:
        return math.prod(read_stored(image).shape)
    except InputError:
        return 0  # reading it will say why
