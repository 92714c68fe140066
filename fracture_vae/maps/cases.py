"""What an inference runs over: items of a datalist, read and preprocessed one by one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fracture_vae.cohort.geometry import CropGeometry, within_reach
from fracture_vae.cohort.manifest import Case, Cohort, pseudonym, read_cohort
from fracture_vae.cohort.volumes import Stored, Volume, is_volume, read_volume, stem
from fracture_vae.errors import InputError, nearest
from fracture_vae.transforms import Preprocessing

SPLITS = ("auto", "validation", "test", "all")


class LoadedCase(NamedTuple):
    """One case ready for the network, or the reason why it is not."""

    item: Mapping[str, Any]  # its entry of the datalist
    image: Tensor  # (1, 1, H, W, D) float32 in [0, 1], RAS
    valid: Tensor  # same shape, bool: inside the source's field of view
    region: Tensor  # same shape, bool: the valid voxels the case score is taken from
    stored: Stored | None
    error: str


@dataclass(frozen=True)
class CaseDataset(Dataset[LoadedCase]):
    """The items of a datalist; a case that cannot be read becomes a :class:`LoadedCase` with its ``error``.

    Args:
        data: paths, or dictionaries with ``image`` (path) and, optionally, ``case_id``, ``crop`` (JSON) and
            ``vertebra_mask``.
        preprocessing: maps stored values to [0, 1], as in training.
        score_margin: where a case has a ``vertebra_mask``, its score is taken from within this many millimetres of
            it, so that a broken neighbour in the same crop does not count; None takes the whole image.
    """

    data: Sequence[str | Mapping[str, Any]]
    preprocessing: Preprocessing
    score_margin: float | None = 5.0

    def __post_init__(self) -> None:
        if self.score_margin is not None and not self.score_margin >= 0:
            raise InputError(f"score_margin {self.score_margin}: must be millimetres from 0 up, or null")

    def __len__(self) -> int:
        return len(self.data)

    def item(self, index: int) -> dict[str, Any]:
        """Return an entry of the datalist with its ``case_id``."""
        given = self.data[index]
        item = {"image": given} if isinstance(given, str) else given
        return {"case_id": stem(item["image"]), **item}

    def __getitem__(self, index: int) -> LoadedCase:
        item = self.item(index)
        try:
            volume = read_volume(item["image"])
            image = self.preprocessing(volume.array, str(item["image"]))
            valid = _valid(item, volume)
            region = valid
            if item.get("vertebra_mask") and self.score_margin is not None:
                region = valid & _near(item["vertebra_mask"], volume, self.score_margin)
        except InputError as error:
            nothing = torch.zeros(0)
            return LoadedCase(item, nothing, nothing, nothing, None, str(error))
        tensors = [torch.from_numpy(array)[None, None] for array in (image, valid, region)]
        return LoadedCase(item, tensors[0], tensors[1], tensors[2], volume.stored, "")


def _valid(item: Mapping[str, Any], volume: Volume) -> NDArray[np.bool_]:
    if not item.get("crop"):
        return np.ones(volume.array.shape, dtype=bool)
    inside = CropGeometry.from_json(item["crop"], str(item["image"])).inside_source()
    if inside.shape != volume.array.shape:
        raise InputError(
            f"{item['image']}: its size {volume.array.shape} is not {inside.shape} as its crop column says; crop again"
        )
    return inside


def _near(mask: str, volume: Volume, margin: float) -> NDArray[np.bool_]:
    """Return where the image lies within ``margin`` mm of its mask."""
    own = read_volume(mask)
    if own.array.shape != volume.array.shape:
        raise InputError(f"{mask}: its size {own.array.shape} is not the image's {volume.array.shape}; crop it again")
    inside = own.array > 0
    if not inside.any():
        raise InputError(f"{mask}: marks no voxel; crop it again")
    return within_reach(inside, voxel_sizes(volume.affine), margin)


def require_apart(items: Iterable[Mapping[str, Any]], output: str | Path) -> None:
    """Require that no image of ``items`` lies in ``output``, where maps would stand beside it under its name.

    Raises:
        InputError: for the first that does.
    """
    folder = Path(output).absolute()
    for item in items:
        if Path(item["image"]).absolute().parent == folder:
            raise InputError(f"{output}: holds {Path(item['image']).name}, an input; give another folder for the maps")


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
        split: ``validation`` (rows of ``fold``), ``test`` (the hold-out), ``all``; ``auto`` is ``validation`` for a
            cohort that holds patients the model was trained on, and ``all`` for any other.
        fold: the fold of ``validation``, or None for the one the model names.
        model: what the model says of itself: ``trained_on`` and ``fold``.

    Raises:
        InputError: when there is nothing to run over, or a patient trained on is in the split asked for.
    """
    if split not in SPLITS:
        raise InputError(f"split '{split}' is not one of {', '.join(SPLITS)}{nearest(split, SPLITS)}")
    given = [name for name, source in (("cohort", cohort), ("images", images), ("dataset_dir", dataset_dir)) if source]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are given; run over one of them")
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
    seen = {case.case_id for case in cohort.cases if pseudonym(case.patient_id) in model.get("trained_on", ())}
    if split == "auto":
        split = "validation" if seen else "all"
    if split == "validation":
        if fold is None and model.get("ensemble"):
            raise InputError(
                f"{cohort.path}: some models of the ensemble were trained on its patients, and no fold is all models'; "
                "give the run of all folds, whose cases each go to the model that has not seen them, or set split"
            )
        if fold is None:
            raise InputError("split validation needs the model's fold, which this checkpoint does not say: set fold")
        chosen = [case for case in cohort.cases if case.fold == str(fold)]
    elif split == "test":
        chosen = list(cohort.holdout())
    else:
        chosen = list(cohort.cases)
    for case in chosen:
        if split != "all" and case.case_id in seen:
            raise InputError(
                f"{cohort.path}: row {case.row}: the model was trained on patient '{case.patient_id}', who is in split "
                f"{split} now; restore the folds, or set split to all"
            )
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
        "vertebra_mask": str(case.vertebra_mask or ""),
        "source_image": str(case.source_image or ""),
        "crop": case.crop,
    }
