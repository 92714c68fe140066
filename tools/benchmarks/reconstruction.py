"""Show that the 3D VQ-VAE bundle learns on real data: its reconstruction beside a mean template's and PCA-32's.

    python -m tools.benchmarks.reconstruction --data DATA --task all --monai --out reconstruction.json

DATA holds hippocampus/images/*.nii.gz (Medical Segmentation Decathlon, Task04) and
vessel/vesselmnist3d_train_val.npz (MedMNIST v2). The bundle is trained and run on the CPU by the package's own jobs.
All models see the same training volumes and are measured on the same voxels of the same held-out volumes. The last
epoch's weights are measured, not the best epoch's, so that the held-out volumes choose nothing.
"""

import csv
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from fracture_vae.cohort.manifest import Cohort
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.evaluation import stratified_auroc
from fracture_vae.evaluation.baselines import mean_template, residuals
from fracture_vae.files import write_text
from fracture_vae.jobs import BUNDLES, infer_cases, train_bundle, variant_configs
from fracture_vae.maps import read_scores
from fracture_vae.training import BatchLoader, VolumeDataset
from fracture_vae.training.run_folder import git_revision, versions
from fracture_vae.transforms import AugmentConfig, Preprocessing, multiple_of
from tools.benchmarks import monai_vqvae
from tools.benchmarks.baselines import common_grid, median_template, pca_reconstruction
from tools.benchmarks.measures import CaseErrors, Interval, case_errors, mean_interval
from tools.benchmarks.reconstruction_data import TASKS, HeldOut, held_out, make_cohort, training_arrays
from tools.benchmarks.timing import machine

COMPONENTS = 32
VQ, MONAI = "VQ-VAE (vq3d)", "MONAI VQVAE"
MEAN, MEDIAN, PCA = "mean template", "median template", f"PCA-{COMPONENTS}"


@dataclass(frozen=True)
class Settings:
    """How a task is trained: where it differs from the bundle's train.json."""

    epochs_per_minute: float
    """On two AVX-512 cores; turns the budget into epochs, so that what is trained does not depend on the load."""
    intensity: str
    augmentation: AugmentConfig
    size: tuple[int, int, int] | None = None
    channels: tuple[int, ...] = (32, 64, 128)
    num_codes: int = 256
    dim: int = 64
    dropout: float = 0.0
    batch_size: int = 4
    learning_rate: float = 1e-3

    def overrides(self, epochs: int) -> dict[str, Any]:
        """Return the config ids to set, as ``fracture-vae train bundles/vq3d --set id=value`` would."""
        return {
            "intensity": self.intensity,
            "size": None if self.size is None else list(self.size),
            "channels": list(self.channels),
            "dropout": self.dropout,
            "quantizer_options": {"num_codes": self.num_codes, "dim": self.dim},
            "batch_size": self.batch_size,
            "optimizer": "Adam",
            "learning_rate": self.learning_rate,
            "max_epochs": epochs,
            "patience": epochs,
            "keep_best": 1,
            "device": "cpu",
            **{f"augmentation#{name}": value for name, value in asdict(self.augmentation).items()},
        }


# No flip: every hippocampus crop shows the same side. No noise: it would be part of what is to be reconstructed.
SETTINGS = {
    "hippocampus": Settings(
        epochs_per_minute=8,
        intensity="percentile",
        augmentation=AugmentConfig(flip_prob=0, noise_prob=0, rotate_degrees=5, scale_min=0.95, scale_max=1.05),
    ),
    "vessel": Settings(
        epochs_per_minute=8,
        intensity="none",
        augmentation=AugmentConfig(flip_prob=0, noise_prob=0, brightness_prob=0, contrast_prob=0),
        size=(32, 32, 32),
        batch_size=16,
        channels=(32, 64),
    ),
}


def run_task(task: str, data: Path, work: Path, seconds: float, fold: int, seed: int, monai: bool) -> dict[str, Any]:
    """Train, infer and compare one task; ``work`` keeps the cohort, the run folder and the maps."""
    settings = SETTINGS[task]
    cohort = make_cohort(task, data, work / "cohort")
    held = held_out(cohort, fold, Preprocessing(settings.intensity))
    epochs = max(1, round(seconds / 60 * settings.epochs_per_minute))
    overrides = {**settings.overrides(epochs), "seed": seed}
    began = time.monotonic()
    run = _train(cohort, fold, work / "runs", overrides)
    took = time.monotonic() - began
    where = {"cohort": str(cohort.path), "split": "validation", "fold": fold, "device": "cpu"}
    infer_cases(run / "checkpoints" / "last.pt", work / "maps", where)

    errors = {**_baselines(cohort, fold, settings, held), VQ: map_errors(work / "maps", held)}
    about: dict[str, Any] = {
        "fold": fold,
        "settings": overrides,
        "training_volumes": len(cohort.training(fold)),
        "held_out": {"normal": held.labels.count(0), "abnormal": held.labels.count(1)},
        "seconds": round(took, 1),
        "voxels_per_code": 8 ** len(settings.channels),
        "codebook": codebook_use(run, settings.num_codes),
    }
    if monai:
        errors[MONAI], about["monai"] = _monai(cohort, fold, settings, held, took, seed)
    return {**about, **compare(errors, held, seed)}


def _train(cohort: Cohort, fold: int, project: Path, overrides: Mapping[str, Any]) -> Path:
    """Train the bundle and return its run folder."""
    place = {"cohort": str(cohort.path), "project_dir": str(project), "progress": sys.stderr.isatty()}
    bundle = BUNDLES / "vq3d"
    train_bundle(bundle, str(fold), variant_configs(bundle, "reconstruction"), {**overrides, **place})
    return next((project / "vq3d").glob("*/metrics.csv")).parent


def _baselines(cohort: Cohort, fold: int, settings: Settings, held: HeldOut) -> dict[str, CaseErrors]:
    arrays = training_arrays(cohort, fold, Preprocessing(settings.intensity))
    shape = np.max([array.shape for array in (*arrays, *held.arrays)], axis=0).tolist()
    grid = multiple_of(settings.size or shape, 2 ** len(settings.channels))
    train, unseen = common_grid(arrays, grid), common_grid(held.arrays, grid)
    return {
        MEAN: case_errors(residuals(unseen, mean_template(train))),
        MEDIAN: case_errors(residuals(unseen, median_template(train))),
        PCA: case_errors(residuals(unseen, pca_reconstruction(train, unseen, COMPONENTS))),
    }


def map_errors(maps: Path, held: HeldOut) -> CaseErrors:
    """Return the errors of the maps an inference wrote, where they are valid, and the case scores it wrote."""

    def volume(case_id: str, kind: str) -> NDArray[np.float32]:
        return read_volume(maps / f"{case_id}_{kind}.nii.gz", allow_constant=True).array

    names = [item["case_id"] for item in held.items]
    scores = {row["case_id"]: float(row["score"]) for row in read_scores(maps / "scores.csv")}
    errors = case_errors(volume(name, "error")[volume(name, "valid") > 0] for name in names)
    return errors._replace(score=np.array([scores[name] for name in names]))


def codebook_use(run: Path, num_codes: int) -> dict[str, Any]:
    """Return what metrics.csv says of the codebook in the last epoch: training, and the held-out normals."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    return {
        "num_codes": num_codes,
        "epoch": int(last["epoch"]),
        "training": {"used": float(last["train/codebook_usage"]), "perplexity": float(last["train/perplexity"])},
        "held_out": {"used": float(last["val/codebook_usage"]), "perplexity": float(last["val/perplexity"])},
    }


def _monai(
    cohort: Cohort, fold: int, settings: Settings, held: HeldOut, seconds: float, seed: int
) -> tuple[CaseErrors, dict[str, Any]]:
    """Train MONAI's VQVAE for ``seconds``; return its errors and how it used its codes."""
    torch.manual_seed(seed)
    factor = 2 ** len(settings.channels)
    dataset = VolumeDataset(cohort.training(fold), Preprocessing(settings.intensity), settings.size, factor)
    loader = BatchLoader(dataset, settings.batch_size, shuffle=True, augmentation=settings.augmentation, seed=seed)
    network = monai_vqvae.build(settings.channels, settings.num_codes, settings.dim)
    epochs = monai_vqvae.train(network, loader, seconds, settings.learning_rate)
    errors = case_errors(np.abs(array - monai_vqvae.reconstruct(network, dataset.size, array)) for array in held.arrays)
    used = monai_vqvae.used_codes(network, BatchLoader(dataset, settings.batch_size))
    return errors, {"epochs": round(epochs, 1), "used_codes": used, "num_codes": settings.num_codes}


def compare(errors: Mapping[str, CaseErrors], held: HeldOut, seed: int) -> dict[str, Any]:
    """Return each model's mean errors over the normal cases and how the VQ-VAE's differ from the others', case by case.

    Where there are abnormal cases too, also the AUROC of each model's case score and of the foreground volume.
    """
    normal = np.array(held.labels) == 0
    whose = [name for name, counts in zip(held.patients, normal, strict=True) if counts]

    def interval(values: NDArray[np.float64]) -> dict[str, float]:
        return mean_interval(values[normal], whose, seed)._asdict()

    own = errors[VQ]
    compared: dict[str, Any] = {
        "errors": {name: {"l1": interval(e.l1), "l2": interval(e.l2)} for name, e in errors.items()},
        "vq_vae_minus": {
            name: {"l1": interval(own.l1 - e.l1), "l2": interval(own.l2 - e.l2)}
            for name, e in errors.items()
            if name != VQ
        },
    }
    if not normal.all():
        scores = {name: e.score for name, e in errors.items()}
        scores["foreground volume"] = np.array([array.sum(dtype=np.float64) for array in held.arrays])
        compared["auroc"] = {
            name: stratified_auroc(held.labels, score.tolist(), held.patients, seed=seed)._asdict()
            for name, score in scores.items()
        }
    return compared


def table(figures: Mapping[str, Any]) -> str:
    """Return a task's figures as lines to print."""
    book, held = figures["codebook"], figures["held_out"]
    lines = [
        f"{figures['training_volumes']} training volumes, {figures['seconds']:.0f} s; held out: {held['normal']} "
        f"normal, {held['abnormal']} abnormal; errors over the normal ones, 95 % intervals over patients",
        f"{'':18}{'L1':28}{'L2':28}{'VQ-VAE minus it, L1':30}{'AUROC':28}",
    ]
    names = dict.fromkeys([*figures["errors"], *figures.get("auroc", ())])
    for name in names:
        error, minus = figures["errors"].get(name), figures["vq_vae_minus"].get(name)
        l1, l2 = (str(Interval(**error[key])) if error else "" for key in ("l1", "l2"))
        difference = str(Interval(**minus["l1"])) if minus else ""
        a = figures.get("auroc", {}).get(name)
        area = f"{a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}]" if a else ""
        lines.append(f"{name:18}{l1:28}{l2:28}{difference:30}{area:28}".rstrip())
    for part in ("training", "held_out"):
        use = book[part]
        lines.append(
            f"codes used, {part.replace('_', ' ')}, epoch {book['epoch']}: {use['used']:.1%} of "
            f"{book['num_codes']}, perplexity {use['perplexity']:.0f}"
        )
    if "monai" in figures:
        own = figures["monai"]
        lines.append(f"{MONAI}: {own['used_codes']} of {own['num_codes']} codes after {own['epochs']} epochs")
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of the data sets.")
@click.option("--task", type=click.Choice([*TASKS, "all"]), default="all", show_default=True)
@click.option("--seconds", default=180.0, show_default=True, help="Training time of each model, roughly.")
@click.option("--fold", default=1, show_default=True, help="Held out; vessel's fold 1 is its own validation split.")
@click.option("--seed", default=0, show_default=True)
@click.option("--monai", is_flag=True, help="Also train MONAI's VQVAE for as long.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep cohorts, runs and maps in this new folder.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file to write, or to add to.")
def main(
    data: Path, task: str, seconds: float, fold: int, seed: int, monai: bool, keep: Path | None, out: Path
) -> None:
    record = {"machine": machine(), "versions": versions(), "git_revision": git_revision(), "seed": seed}
    with tempfile.TemporaryDirectory() as temporary:
        for name in TASKS if task == "all" else (task,):
            figures = run_task(name, data, (keep or Path(temporary)) / name, seconds, fold, seed, monai)
            click.echo(f"\n{name}: {table(figures)}\n")
            add_to_report(out, name, {**record, **figures})


def add_to_report(out: Path, task: str, figures: Mapping[str, Any]) -> None:
    """Write the figures of ``task`` to the JSON file ``out``; those of other tasks in it stay."""
    there = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    write_text(out, json.dumps({**there, task: figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
