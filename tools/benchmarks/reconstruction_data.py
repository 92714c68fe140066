"""Public data sets as cohorts, and a fold's volumes as an inference reads them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.folder import cohort_from_folder
from fracture_vae.cohort.manifest import Cohort, read_cohort
from fracture_vae.errors import InputError
from fracture_vae.files import write_text
from fracture_vae.maps import CaseDataset, datalist
from fracture_vae.transforms import Preprocessing

TASKS = ("hippocampus", "vessel")
VESSEL_FILE = "vessel/vesselmnist3d_train_val.npz"


class HeldOut(NamedTuple):
    """The N cases of a fold, normal and abnormal."""

    items: list[dict[str, Any]]
    arrays: list[NDArray[np.float32]]
    """Each (H, W, D) in [0, 1]."""

    @property
    def labels(self) -> list[int]:
        """0 normal, 1 abnormal."""
        return [int(item["label"]) for item in self.items]

    @property
    def patients(self) -> list[str]:
        """Whose case each is."""
        return [item["patient_id"] for item in self.items]


def make_cohort(task: str, data: Path, folder: Path) -> Cohort:
    """Write the task's cohort.csv to ``folder``, which must not exist yet.

    Hippocampus volumes are dealt over five folds. Vessel segments become ``.npy`` volumes in {0, 1}: the data set's
    validation split is fold 1, its training split is dealt over folds 2 to 6.

    Raises:
        InputError: when the data are not there.
    """
    source = data / (VESSEL_FILE if task == "vessel" else "hippocampus/images")
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; --data is the folder that holds {' and '.join(TASKS)}")
    folder.mkdir(parents=True)
    table = folder / "cohort.csv"
    if task == "hippocampus":
        return read_cohort(cohort_from_folder(source, k=5, out=table))
    rows = ["case_id,label,fold"]
    with np.load(source, allow_pickle=False) as archive:
        for split in ("val", "train"):
            labels = archive[f"{split}_labels"].ravel()
            for index, (image, label) in enumerate(zip(archive[f"{split}_images"], labels, strict=True)):
                name = f"{split}_{index:04d}"
                np.save(folder / f"{name}.npy", image // 255, allow_pickle=False)
                rows.append(f"{name},{label},{1 if split == 'val' else 2 + index % 5}")
    labels_csv = folder / "labels.csv"
    write_text(labels_csv, "\n".join(rows) + "\n")
    return read_cohort(cohort_from_folder(folder, labels_csv, out=table))


def held_out(cohort: Cohort, fold: int, preprocessing: Preprocessing) -> HeldOut:
    """Return all cases of ``fold``, preprocessed as for inference."""
    items = datalist(None, cohort.path, [], "validation", fold, {})
    return HeldOut(items, _arrays(items, preprocessing))


def training_arrays(cohort: Cohort, fold: int, preprocessing: Preprocessing) -> list[NDArray[np.float32]]:
    """Return the normal volumes of the other folds, preprocessed as for inference."""
    return _arrays([{"image": str(case.image)} for case in cohort.training(fold)], preprocessing)


def _arrays(items: list[dict[str, Any]], preprocessing: Preprocessing) -> list[NDArray[np.float32]]:
    dataset = CaseDataset(items, preprocessing)
    loaded = [dataset[index] for index in range(len(dataset))]
    for case in loaded:
        if case.error:
            raise InputError(case.error)
    return [case.image[0, 0].numpy() for case in loaded]
