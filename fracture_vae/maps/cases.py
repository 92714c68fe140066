"""What an inference runs over: items of a datalist, read and preprocessed one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fracture_vae.cohort.crop import CropGeometry
from fracture_vae.cohort.manifest import Case, Cohort, read_cohort
from fracture_vae.cohort.volumes import Stored, is_volume, read_volume, stem
from fracture_vae.errors import InputError, nearest
from fracture_vae.files import sha256
from fracture_vae.transforms import Preprocessing

SPLITS = ("auto", "validation", "test", "all")


class LoadedCase(NamedTuple):
    """One case ready for the network, or the reason why it is not."""

    item: Mapping[str, Any]  # its entry of the datalist
    image: Tensor  # (1, 1, H, W, D) float32 in [0, 1], RAS
    valid: Tensor  # same shape, bool: inside the source's field of view
    stored: Stored | None
    error: str


@dataclass(frozen=True)
class CaseDataset(Dataset[LoadedCase]):
    """The items of a datalist; a case that cannot be read becomes a :class:`LoadedCase` with its ``error``.

    Args:
        data: dictionaries with ``image`` (path) and, optionally, ``case_id`` and ``crop`` (JSON).
        preprocessing: maps stored values to [0, 1], as in training.
    """

    data: Sequence[Mapping[str, Any]]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> LoadedCase:
        item = {"case_id": stem(self.data[index]["image"]), **self.data[index]}
        try:
            volume = read_volume(item["image"])
            image = torch.from_numpy(self.preprocessing(volume.array, str(item["image"])))[None, None]
            valid = torch.ones(image.shape, dtype=torch.bool)
            if item.get("crop"):
                inside = CropGeometry.from_json(item["crop"]).inside_source()
                if inside.shape != volume.array.shape:
                    raise InputError(
                        f"{item['image']}: its size {volume.array.shape} is not that of its crop column "
                        f"{inside.shape}; crop it again"
                    )
                valid = torch.from_numpy(inside)[None, None]
        except InputError as error:
            nothing = torch.zeros(0)
            return LoadedCase(item, nothing, nothing, None, str(error))
        return LoadedCase(item, image, valid, volume.stored, "")


def first(batch: Sequence[LoadedCase]) -> LoadedCase:
    """Collate batches of one: cases differ in size."""
    return batch[0]


def datalist(
    dataset_dir: str | Path | None,
    cohort: str | Path | None,
    images: Sequence[str | Path],
    split: str,
    fold: int | None,
    model: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return what to run over: single ``images``, else rows of ``cohort``, else the volumes in ``dataset_dir``.

    Args:
        dataset_dir: a folder of volumes.
        cohort: path of a cohort.csv.
        images: paths of single volumes.
        split: ``validation`` (rows of ``fold``), ``test`` (the hold-out), ``all``; ``auto`` is ``validation`` for the
            cohort the model was trained on, and ``all`` for any other.
        fold: the fold of ``validation``, or None for the one the model names.
        model: what the model says of itself: ``cohort_sha256`` and ``fold``.

    Raises:
        InputError: when there is nothing to run over.
    """
    if split not in SPLITS:
        raise InputError(f"split '{split}' is not one of {', '.join(SPLITS)}{nearest(split, SPLITS)}")
    if images:
        return [{"image": str(image)} for image in images]
    if cohort is not None:
        return _rows(read_cohort(cohort), split, model.get("fold") if fold is None else fold, model)
    if dataset_dir is None:
        raise InputError("nothing to run over: give cohort, images or dataset_dir")
    found = sorted(path for path in Path(dataset_dir).glob("*") if path.is_file() and is_volume(path))
    if not found:
        raise InputError(f"{dataset_dir}: no .nii, .nii.gz or .npy volumes in this folder")
    return [{"image": str(path)} for path in found]


def _rows(cohort: Cohort, split: str, fold: int | None, model: Mapping[str, Any]) -> list[dict[str, Any]]:
    if split == "auto":
        split = "validation" if model.get("cohort_sha256") == sha256(cohort.path) else "all"
    if split == "validation":
        if fold is None:
            raise InputError("split validation needs the model's fold, which this checkpoint does not say: set fold")
        chosen = [case for case in cohort.cases if case.fold == str(fold)]
    elif split == "test":
        chosen = list(cohort.holdout())
    else:
        chosen = list(cohort.cases)
    if not chosen:
        raise InputError(f"{cohort.path}: no row in split {split}{f' of fold {fold}' if split == 'validation' else ''}")
    return [_item(case) for case in chosen]


def _item(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "level": case.level,
        "label": "" if case.label is None else case.label,
        "fold": case.fold,
        "image": str(case.image),
        "mask": str(case.mask or ""),
        "source_image": str(case.source_image or ""),
        "crop": case.crop,
    }
