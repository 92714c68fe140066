"""The maps of MONAI's own VQVAE, in the form an inference writes them."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.networks.nets import VQVAE

from fracture_vae.cohort.manifest import Cohort
from fracture_vae.cohort.volumes import write_map
from fracture_vae.errors import InputError
from fracture_vae.files import write_csv
from fracture_vae.maps import case_score
from fracture_vae.maps.cases import CaseDataset, datalist
from fracture_vae.maps.table import SCORE_COLUMNS, SCORES_FILE
from fracture_vae.training import BatchLoader, VolumeDataset
from fracture_vae.transforms import AugmentConfig, Preprocessing
from tools.benchmarks import monai_vqvae

_AUGMENTATION = "augmentation#"


class Trained(NamedTuple):
    """A network and the common size of the volumes it was trained on."""

    network: VQVAE
    size: tuple[int, ...]


def build(settings: Mapping[str, Any]) -> VQVAE:
    """Return the network of the bundle's ids ``channels`` and ``quantizer_options``."""
    book = settings["quantizer_options"]
    return monai_vqvae.build(tuple(settings["channels"]), book["num_codes"], book["dim"])


def train(cohort: Cohort, fold: int, settings: Mapping[str, Any], seconds: float, seed: int) -> tuple[Trained, float]:
    """Return a network after ``seconds`` of the processor on the normals of the other folds, and those it took."""
    torch.manual_seed(seed)
    network = build(settings)
    augmentation = AugmentConfig(
        **{key.removeprefix(_AUGMENTATION): value for key, value in settings.items() if key.startswith(_AUGMENTATION)}
    )
    preprocessing, multiple = Preprocessing(settings["intensity"]), 2 ** len(settings["channels"])
    dataset = VolumeDataset(cohort.training(fold), preprocessing, settings.get("size"), multiple)
    loader = BatchLoader(dataset, settings["batch_size"], shuffle=True, augmentation=augmentation, seed=seed)
    began = time.process_time()
    monai_vqvae.train(network, loader, seconds, 1e-3, time.process_time)
    return Trained(network, tuple(dataset.size)), round(time.process_time() - began, 1)


def save(trained: Trained, path: Path) -> None:
    """Write weights and size."""
    torch.save({"weights": trained.network.state_dict(), "size": list(trained.size)}, path)


def load(path: Path, settings: Mapping[str, Any]) -> Trained:
    """Return what `save` wrote."""
    held = torch.load(path, weights_only=True)
    network = build(settings)
    network.load_state_dict(held["weights"])
    return Trained(network, tuple(held["size"]))


def cases_of(cohort: Cohort, split: str, fold: int | None, settings: Mapping[str, Any]) -> CaseDataset:
    """Return the cases of a split as an inference reads them."""
    return CaseDataset(datalist(None, cohort.path, (), split, fold, {}), Preprocessing(settings["intensity"]))


def write_maps(models: Sequence[Trained], cases: CaseDataset, folder: Path) -> list[dict[str, Any]]:
    """Write the mean |x - x̂| of ``models`` for each case and return the rows of scores.csv."""
    rows = []
    for case in (cases[index] for index in range(len(cases))):
        if case.stored is None:
            raise InputError(case.error)
        image = case.image[0, 0].numpy()
        error = np.mean([np.abs(image - monai_vqvae.reconstruct(*model, image)) for model in models], 0)
        path = folder / f"{case.item['case_id']}_error.nii.gz"
        write_map(path, error, case.stored, descrip="|x - reconstruction|", cal_max=0.3)
        score = case_score(torch.from_numpy(error), case.valid[0, 0], case.region[0, 0])
        named = {name: str(case.item[name]) for name in ("case_id", "image")}
        rows.append({**named, "score": score, "error_map": path.name})
    return rows


def write_scores(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table beside the maps."""
    write_csv(folder / SCORES_FILE, SCORE_COLUMNS, rows)
