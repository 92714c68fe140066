"""A made-up study for benchmarks, and the bundle's own trainer on it: what is timed is what a user runs."""

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser, ConfigWorkflow
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fracture_vae.bundle import load

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "vq3d" / "configs"
RECONSTRUCTION = "variants/reconstruction.json"
LARGE_BATCH = "large_batch.json"
COLUMNS = ("case_id", "patient_id", "level", "label", "fold", "image")


def volume(size: int, seed: int) -> NDArray[np.float32]:
    """Return a made-up volume (size, size, size) in [0, 1]: a textured body with a dense rim in a soft background."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 3, indexing="ij")
    centre, radii = rng.uniform(-0.15, 0.15, 3), rng.uniform(0.4, 0.7, 3)
    distance = np.sqrt(sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)))
    texture = gaussian_filter(rng.standard_normal((size,) * 3, dtype=np.float32), size / 32)
    body = 0.25 + 0.1 * texture / texture.std()
    rim = 0.6 * np.exp(-(((distance - 1) / 0.08) ** 2))
    return np.clip(np.where(distance < 1, body, 0.05) + rim, 0, 1).astype(np.float32)


def write_study(folder: Path, training: int, validation: int, size: int) -> Path:
    """Write volumes and their cohort.csv to ``folder`` and return it; fold 1 validates, fold 2 trains."""
    folder.mkdir(parents=True)
    with (folder / "cohort.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for index in range(training + validation):
            name = f"v{index:04d}"
            np.save(folder / f"{name}.npy", volume(size, index).astype(np.float16), allow_pickle=False)
            table.writerow([name, name, "L1", 0, 1 if index < validation else 2, f"{name}.npy"])
    return folder / "cohort.csv"


def shipped(*names: str, overlays: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    """Return the settings ``names`` of the variant *reconstruction* as they ship, or with overlays and overrides."""
    parser = ConfigParser(load([CONFIGS / name for name in ("train.json", RECONSTRUCTION, *overlays)]))
    for name, value in settings.items():
        parser.set(value, name)
    return {name: parser.get_parsed_content(name) for name in names}


class Bundle:
    """The training of the 3D VQ-VAE, the bundle's variant *reconstruction*, ready to run on ``cohort``.

    ``overlays`` are further config files; ``settings`` are overrides of the config, by id.
    """

    def __init__(self, cohort: Path, project: Path, overlays: tuple[str, ...] = (), **settings: Any) -> None:
        files = [str(CONFIGS / name) for name in ("train.json", RECONSTRUCTION, *overlays)]
        given = {"cohort": str(cohort), "project_dir": str(project), "progress": False, "patience": 10**6, **settings}
        hook = sys.excepthook
        self.workflow = ConfigWorkflow(files, workflow_type="train", run_id="training", **given)
        self.workflow.initialize()
        sys.excepthook = hook

    def __getitem__(self, name: str) -> Any:
        """Return what the config's id ``name`` makes."""
        return self.workflow.parser.get_parsed_content(name)

    def train(self) -> Path:
        """Train to the end and return the run folder."""
        self.workflow.run()
        return Path(self["run_dir"])
