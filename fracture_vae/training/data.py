"""A fold's volumes in one tensor, and the loop that draws augmented batches from it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.holdout import guard_holdout
from fracture_vae.cohort.levels import level_index
from fracture_vae.cohort.manifest import Case
from fracture_vae.cohort.volumes import read_stored, read_volume
from fracture_vae.errors import InputError
from fracture_vae.training.acceleration import usable
from fracture_vae.training.storage import DTYPE, hold
from fracture_vae.transforms import AugmentConfig, Preprocessing, apply, draw, multiple_of
from fracture_vae.transforms.augment import resample
from fracture_vae.transforms.corruption import Corruption, corrupt
from fracture_vae.transforms.padding import centred

logger = logging.getLogger(__name__)


class VolumeDataset(Dataset[dict[str, Tensor]]):
    """Volumes read once, preprocessed, centred in one common shape and held in one float16 tensor.

    Args:
        data: the cases, in order.
        preprocessing: maps stored values to [0, 1].
        size: common shape (H, W, D) of a batch; by default the largest volume's, rounded up to ``multiple``.
        multiple: what the network's size must be a multiple of.
        at_least: what that largest size is raised to; validation takes the training set's, since a network
            reconstructs differently in a tighter grid.
        storage: ``device``, ``memory`` or ``file`` (see :mod:`fracture_vae.training.storage`); ``auto`` is the first
            that has room.
        device: where training runs.
        allow_holdout: read hold-out cases all the same, which is logged; without it they are refused.

    Raises:
        InputError: for cases of the hold-out that are not allowed; for a volume that cannot be read, does not fit
            ``preprocessing``, or exceeds ``size``; for crops of different spacing or HU window; for a storage that
            has no room.
    """

    def __init__(
        self,
        data: Sequence[Case],
        preprocessing: Preprocessing,
        size: Sequence[int] | None = None,
        multiple: int = 16,
        at_least: Sequence[int] | None = None,
        storage: str = "auto",
        device: torch.device | str = "cpu",
        allow_holdout: bool = False,
    ) -> None:
        self.data = tuple(data)
        guard_holdout(self.data, allow_holdout)
        _require_one_grid(self.data)

        shapes = [read_stored(case.image).ras_shape for case in self.data]
        self.size = _common_size(self.data, shapes, size, multiple, at_least)
        self.images = hold((len(shapes), 1, *self.size), storage, usable(device))
        self.places = [centred(shape, self.size) for shape in shapes]
        self.padded = any(shape != tuple(self.size) for shape in shapes)
        self.levels = torch.tensor([level_index(case.level) for case in self.data])

        def load(index: int) -> None:
            where = self.data[index].image
            array = preprocessing(read_volume(where).array, str(where))
            self.images[index, 0][self.places[index]] = torch.from_numpy(array).to(DTYPE)

        with ThreadPoolExecutor(4) as pool:
            reading = pool.map(load, range(len(shapes)))
            list(tqdm(reading, "reading volumes", len(shapes), leave=False, unit="vol"))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.batch([index]).items()}

    def batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Return on ``device`` ``image`` (B, 1, H, W, D) float32; ``valid`` likewise, if any volume is padded; and
        ``level`` (B,) int64, 0 where unknown, if any is known."""
        images = self.images[list(indices)].to(device, non_blocking=True).float()
        batch = {"image": images}
        if self.padded:
            batch["valid"] = self._valid(indices, images)
        if self.levels.any():
            batch["level"] = self.levels[list(indices)].to(device, non_blocking=True)
        return batch

    def _valid(self, indices: Sequence[int], like: Tensor) -> Tensor:
        """Return 1 where a volume is and 0 in its padding: the product of one such line an axis."""
        valid = torch.ones_like(like)
        for axis, size in enumerate(self.size):
            line = torch.arange(size)
            ends = torch.tensor([(self.places[index][axis].start, self.places[index][axis].stop) for index in indices])
            inside = (line >= ends[:, :1]) & (line < ends[:, 1:])
            shape = [len(ends), 1, *(size if other == axis else 1 for other in range(len(self.size)))]
            valid *= inside.reshape(shape).to(valid)
        return valid


def _common_size(
    cases: Sequence[Case],
    shapes: Sequence[tuple[int, ...]],
    size: Sequence[int] | None,
    multiple: int,
    at_least: Sequence[int] | None,
) -> tuple[int, ...]:
    """Return the size all volumes are centred in (see :class:`VolumeDataset`)."""
    largest = multiple_of(np.max(shapes, axis=0).tolist(), multiple)
    if size is not None and (not isinstance(size, Sequence) or len(size) != len(largest)):
        raise InputError(f"size {size}: give a list of one number for each of the {len(largest)} axes, or null")
    if at_least is not None:
        largest = tuple(max(pair) for pair in zip(largest, at_least, strict=True))
    common = multiple_of(size, multiple) if size else largest
    for case, shape in zip(cases, shapes, strict=True):
        if any(have > room for have, room in zip(shape, common, strict=True)):
            raise InputError(f"{case.image}: its size {shape} exceeds size {common}; raise size, or leave it null")
    return common


def _require_one_grid(cases: Sequence[Case]) -> None:
    """Require one voxel size and HU window of all crops: a network takes a voxel for a voxel."""
    first: tuple[Case, object] | None = None
    for case in cases:
        if not case.crop:
            continue
        geometry = CropGeometry.from_json(case.crop, f"row {case.row} ({case.image})")
        kind = (np.linalg.norm(np.asarray(geometry.affine)[:3, :3], axis=0).round(4).tolist(), geometry.hu_window)
        if first is None:
            first = (case, kind)
        elif first[1] != kind:
            raise InputError(
                f"rows {first[0].row} and {case.row} ({first[0].case_id}, {case.case_id}) were cropped with another "
                f"spacing or HU window: {first[1]} and {kind}; crop them alike"
            )


class InMemory(Protocol):
    """A data set that gives whole batches, such as :class:`VolumeDataset`."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Return the samples at ``indices`` on ``device``, by name."""


class BatchLoader:
    """Batches of a data set held in memory, on a device, augmented there; no worker processes.

    In training (``shuffle``) every epoch is a new permutation with new draws, and a last batch that is not full is
    left out, so that shapes never change; otherwise order is kept, every volume comes once and every epoch draws the
    same. Its state (one generator, the same on every rank) is part of a resume checkpoint.

    Args:
        dataset: the volumes.
        batch_size: volumes a batch; a smaller data set makes one batch of what there is, in training with a warning.
        device: where batches are put and augmented.
        shuffle: draw a new permutation each epoch.
        augmentation: what to draw for each sample, or None.
        corruption: what a network is to undo, or None. Batches then hold ``corrupted``, the augmented image spoilt, and
            ``anomaly`` (B, 1, *spatial), 1 where it was.
        seed: of the permutations, augmentations and corruptions.
        rank, world_size: this process's share when several train together.
    """

    def __init__(
        self,
        dataset: InMemory,
        batch_size: int,
        device: torch.device | str = "cpu",
        shuffle: bool = False,
        augmentation: AugmentConfig | None = None,
        corruption: Corruption | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        share = len(dataset) // world_size if shuffle else len(range(rank, len(dataset), world_size))
        if share == 0:
            raise InputError(f"{len(dataset)} volume(s) cannot be shared among {world_size} processes")
        if shuffle and batch_size > share:
            logger.warning(
                "batches hold %d, all there is to train on, not batch_size %d; set batch_size=%d if a rate goes by it",
                share,
                batch_size,
                share,
            )
        self.dataset = dataset
        self.batch_size = min(batch_size, share)
        self.device = usable(device)
        self.shuffle = shuffle
        self.augmentation = augmentation
        self.corruption = corruption
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self._share = share
        self._epochs = torch.Generator().manual_seed(seed)
        self._draws = torch.Generator()

    def __len__(self) -> int:
        return self._share // self.batch_size if self.shuffle else -(-self._share // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        count = len(self.dataset)
        order = torch.randperm(count, generator=self._epochs) if self.shuffle else torch.arange(count)
        drawn = int(torch.randint(2**48, (), generator=self._epochs)) if self.shuffle else self.seed
        self._draws.manual_seed(drawn + self.rank)
        mine = order[self.rank :: self.world_size].tolist()
        for step in range(len(self)):
            yield self._batch(mine[step * self.batch_size : (step + 1) * self.batch_size])

    def _batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        batch = self.dataset.batch(indices, self.device)
        if self.augmentation is not None:
            batch = self._augmented(batch, self.augmentation)
        return batch if self.corruption is None else {**batch, **self._corrupted(batch, self.corruption)}

    def _corrupted(self, batch: Mapping[str, Tensor], corruption: Corruption) -> dict[str, Tensor]:
        image, truth = corrupt(batch["image"], corruption, self._draws)
        if "valid" in batch:
            image, truth = image * batch["valid"], truth * batch["valid"]
        return {"corrupted": image, "anomaly": truth}

    def _augmented(self, batch: Mapping[str, Tensor], config: AugmentConfig) -> dict[str, Tensor]:
        params = draw(config, len(batch["image"]), self._draws)
        out = {**batch, "image": apply(batch["image"], params)}
        if "valid" in batch:
            out["valid"] = (resample(batch["valid"], params) > 0.5).float()
            out["image"] = out["image"] * out["valid"]
        return out

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state."""
        return {"epochs": self._epochs.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self._epochs.set_state(state["epochs"])
