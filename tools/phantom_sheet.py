"""Draw what the synthetic reference study looks like, for docs/synthetic_study.md.

    python -m tools.phantom_sheet --out docs/images

Two pictures: whole spines of six patients that differ much, cut along the middle of their bodies; and vertebrae whole
and broken, one column a patient, as their crops show them. Nothing is picked by eye: patients are the extremes of the
study with this seed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from fracture_vae.cohort.genant import Fracture
from fracture_vae.cohort.phantom import ASKABLE, Phantom, label_of, simulate_spine
from fracture_vae.cohort.phantom.patient import Patient, draw_patient
from fracture_vae.cohort.synthetic import PlannedPatient, plan_reference

SHOWN_HU = (-250, 950)
ROWS: Sequence[tuple[str, Fracture | None]] = (
    ("whole", None),
    ("wedge, grade 1", Fracture("wedge", 1)),
    ("biconcave, grade 1", Fracture("biconcave", 1)),
    ("wedge, grade 2", Fracture("wedge", 2)),
    ("crush, grade 2", Fracture("crush", 2)),
    ("biconcave, grade 3", Fracture("biconcave", 3)),
    ("crush, grade 3", Fracture("crush", 3)),
)

MEASURES: Sequence[Callable[[Patient], float]] = (
    lambda p: -p.trabecular,
    lambda p: p.trabecular,
    lambda p: p.degeneration,
    lambda p: p.scanner.noise,
    lambda p: p.scanner.thickness - 0.1 * p.scanner.edge,
    lambda p: p.scanner.edge,
)
"""Thinnest and densest bone, most worn discs, noisiest, thickest and sharpest scan."""


@click.command()
@click.option("--out", default=Path("docs/images"), type=click.Path(path_type=Path), help="Folder of the pictures.")
@click.option("--seed", default=0, help="Of the study.")
def sheet(out: Path, seed: int) -> None:
    """Draw phantom_spines.png and phantom_vertebrae.png."""
    out.mkdir(parents=True, exist_ok=True)
    plan = plan_reference(seed=seed)
    chosen = extremes(plan.patients)
    draw_spines(chosen, out / "phantom_spines.png")
    draw_vertebrae([patient.seed for patient in chosen], "L1", out / "phantom_vertebrae.png")


def extremes(patients: Sequence[PlannedPatient]) -> list[PlannedPatient]:
    """Pick the patient that is largest in each of `MEASURES` among those with every level."""
    full = [patient for patient in patients if len(patient.vertebrae) == len(ASKABLE)]
    about = {patient.name: draw_patient(patient.seed) for patient in full}
    chosen: list[PlannedPatient] = []
    for measure in MEASURES:
        left = [patient for patient in full if patient not in chosen]
        best = int(np.argmax([measure(about[patient.name]) for patient in left]))
        chosen.append(left[best])
    return chosen


def draw_spines(patients: Sequence[PlannedPatient], path: Path) -> None:
    figure, axes = plt.subplots(1, len(patients), figsize=(13, 7.2), facecolor="black")
    for axis, patient in zip(axes, patients, strict=True):
        phantom = simulate_spine(patient.seed, ASKABLE, patient.fractures)
        image, places = unrolled(phantom)
        _show(axis, image, f"{patient.name}\n{_told(phantom.patient)}")
        for level, fracture in patient.fractures.items():
            y, z = places[level]
            axis.annotate(f"{level} {fracture.type[0]}{fracture.grade}", (y + 24, z), color="#ffb000", fontsize=6.5)
    _save(figure, path)


def draw_vertebrae(seeds: Sequence[int], level: str, path: Path) -> None:
    figure, axes = plt.subplots(len(ROWS), len(seeds), figsize=(11, 1.66 * len(ROWS)), facecolor="black")
    for row, (name, fracture) in zip(axes, ROWS, strict=True):
        for axis, seed in zip(row, seeds, strict=True):
            phantom = simulate_spine(seed, [level], {} if fracture is None else {level: fracture})
            image, places = unrolled(phantom)
            y, z = (round(at) for at in places[level])
            title = _told(phantom.patient) if fracture is None else ""
            _show(axis, image[max(0, y - 45) : y + 45, z - 38 : z + 38], title)
        left = {"transform": row[0].transAxes, "rotation": 90, "va": "center", "ha": "right"}
        row[0].text(-0.04, 0.5, name, color="white", fontsize=8, **left)
    _save(figure, path)


def unrolled(phantom: Phantom) -> tuple[NDArray[np.float32], dict[str, tuple[float, float]]]:
    """Cut a CT along the middle of its bodies, which a scoliosis moves aside; return it with the bodies' (y, z)."""
    centres = {level: np.argwhere(phantom.mask == label_of(level)).mean(0) for level in phantom.heights}
    order = sorted(centres.values(), key=lambda centre: centre[2])
    z = np.arange(phantom.ct.shape[2])
    x = np.interp(z, [c[2] for c in order], [c[0] for c in order]).round().astype(int)
    return phantom.ct[x, :, z].T, {level: (float(c[1]), float(c[2])) for level, c in centres.items()}


def _told(patient: Patient) -> str:
    scanner = patient.scanner
    return f"bone {patient.trabecular:.0f} HU\n{scanner.kernel}, {scanner.thickness:g} mm"


def _show(axis: Any, image: NDArray[np.float32], title: str) -> None:
    axis.imshow(image.T, origin="lower", cmap="gray", vmin=SHOWN_HU[0], vmax=SHOWN_HU[1], interpolation="bilinear")
    axis.set_title(title, color="white", fontsize=8)
    axis.axis("off")


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=85, facecolor="black")
    plt.close(figure)
    click.echo(path)


if __name__ == "__main__":
    sheet()
