"""The maps of MONAI's own VQVAE, in the form an inference writes them."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fracture_vae.cohort.manifest import Cohort
from fracture_vae.cohort.volumes import read_volume, write_map
from fracture_vae.files import write_csv
from fracture_vae.maps import case_score
from fracture_vae.maps.table import SCORE_COLUMNS, SCORES_FILE
from fracture_vae.training import BatchLoader, VolumeDataset
from fracture_vae.transforms import AugmentConfig, Preprocessing
from tools.benchmarks import monai_vqvae

_AUGMENTATION = "augmentation#"


def monai_maps(cohort: Cohort, fold: int, settings: dict[str, Any], seconds: float, seed: int, folder: Path) -> float:
    """Write |x - x̂| and case scores of all cases of ``fold`` after ``seconds`` of training; return those it took.

    Seconds are the processor's.
    """
    torch.manual_seed(seed)
    preprocessing = Preprocessing(settings["intensity"])
    channels, book = tuple(settings["channels"]), settings["quantizer_options"]
    augmentation = AugmentConfig(
        **{key.removeprefix(_AUGMENTATION): value for key, value in settings.items() if key.startswith(_AUGMENTATION)}
    )
    dataset = VolumeDataset(cohort.training(fold), preprocessing, settings.get("size"), 2 ** len(channels))
    loader = BatchLoader(dataset, settings["batch_size"], shuffle=True, augmentation=augmentation, seed=seed)
    network = monai_vqvae.build(channels, book["num_codes"], book["dim"])
    began = time.process_time()
    monai_vqvae.train(network, loader, seconds, 1e-3, time.process_time)
    took = round(time.process_time() - began, 1)
    rows = []
    for case in cohort.cases:
        if case.fold != str(fold):
            continue
        volume = read_volume(case.image)
        image = preprocessing(volume.array, str(case.image))
        error = np.abs(image - monai_vqvae.reconstruct(network, image, dataset.size))
        everywhere = torch.ones(error.shape, dtype=torch.bool)
        path = folder / f"{case.case_id}_error.nii.gz"
        write_map(path, error, volume.stored, descrip="|x - reconstruction|", cal_max=0.3)
        score = case_score(torch.from_numpy(error), everywhere, everywhere)
        rows.append({"case_id": case.case_id, "score": score, "image": str(case.image), "error_map": path.name})
    write_csv(folder / SCORES_FILE, SCORE_COLUMNS, rows)
    return took
