"""Draws docs/images/fractures_*.png: real vertebrae before and after each type and grade of simulated fracture.

    python -m tools.fracture_pictures --data DATA --out docs/images

DATA holds ct_verse014 and ct_totalsegmentator, as tests/conftest.py looks for them beside the checkout.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

mpl.use("Agg")
import matplotlib.pyplot as plt

from fracture_vae.cohort.fracture import Simulation, break_vertebrae, draw_candidates
from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Fracture
from fracture_vae.cohort.volumes import read_volume

_WINDOW = (-200, 900)  # HU
_HALF = (58, 46)  # mm shown on each side of the vertebra's middle, across and along
_FINE = 0.5  # mm, pixel drawn


class Scan(NamedTuple):
    """A CT in RAS order, its vertebra mask and geometry."""

    ct: NDArray[np.float32]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]


def read(ct: Path, mask: Path) -> Scan:
    image, labels = read_volume(ct), read_volume(mask)
    return Scan(image.array, labels.array.astype(np.uint8), image.affine)


def cut(array: NDArray[Any], affine: NDArray[np.float64], centre: NDArray[np.float64], axis: int, order: int) -> Any:
    """Return a sagittal (axis 0) or coronal (axis 1) plane through ``centre`` (mm), resampled to square pixels."""
    across = np.arange(-_HALF[0], _HALF[0], _FINE) if axis == 0 else np.arange(-_HALF[1] * 0.8, _HALF[1] * 0.8, _FINE)
    along = np.arange(-_HALF[1], _HALF[1], _FINE)
    points = np.zeros((3, len(along), len(across)))
    points[2], points[1 - axis] = np.broadcast_arrays(along[:, None], across)
    points += centre[:, None, None]
    inverse = np.linalg.inv(affine)
    index = np.tensordot(inverse[:3, :3], points, 1) + inverse[:3, 3].reshape(3, 1, 1)
    return ndimage.map_coordinates(
        array.astype(np.float32), index, order=order, mode="constant", cval=float(array.min())
    )


def draw(axes: Any, scan: Scan, ct: NDArray[Any], truth: NDArray[Any] | None, centre: Any, axis: int) -> None:
    axes.imshow(cut(ct, scan.affine, centre, axis, 3), origin="lower", cmap="gray", vmin=_WINDOW[0], vmax=_WINDOW[1])
    if truth is not None:
        axes.contour(cut(truth, scan.affine, centre, axis, 1), [0.5], colors=["#ff5040"], linewidths=0.7)
    axes.set_axis_off()


def middle(scan: Scan, number: int) -> NDArray[np.float64]:
    """Return a point (mm) in the middle of the vertebra's body: ahead of the mask's centre of mass."""
    where = np.argwhere(scan.labels == number)
    centre = where.mean(axis=0)
    centre[1] = np.percentile(where[:, 1], 72)
    return np.asarray(scan.affine[:3, :3] @ centre + scan.affine[:3, 3])


def simulate(scan: Scan, number: int, fracture: Fracture, seed: int, **options: bool) -> Simulation:
    drawn = draw_candidates(seed, number, fracture, **options)
    return break_vertebrae(scan.ct, scan.labels, scan.affine, {number: drawn}, {number: str(number)}, seed)


def sheet(scan: Scan, number: int, level: str, out: Path, seed: int, **options: bool) -> None:
    """Draw all nine fractures of one vertebra, sagittal and coronal, with the truth's outline in every second row."""
    centre = middle(scan, number)
    figure, axes = plt.subplots(6, 4, figsize=(15.2, 19.5), width_ratios=(_HALF[0], _HALF[0], _HALF[0], _HALF[0]))
    for row, kind in enumerate(TYPES):
        for axis in (0, 1):
            draw(axes[2 * row + axis, 0], scan, scan.ct, None, centre, axis)
        axes[2 * row, 0].set_title(f"{level}, before", fontsize=11)
        for grade in GRADE_LOSS:
            made = simulate(scan, number, Fracture(kind, grade), seed, **options)
            losses = made.fractures[0].losses
            shown = " / ".join(f"{max(loss, 0):.0%}" for loss in losses)
            draw(axes[2 * row, grade], scan, made.ct, None, centre, 0)
            draw(axes[2 * row + 1, grade], scan, made.ct, made.truth, centre, 1)
            axes[2 * row, grade].set_title(f"{kind} {grade}: lost {shown}", fontsize=11)
    figure.tight_layout(pad=0.4)
    figure.savefig(out, dpi=62)
    plt.close(figure)


def before_after(scan: Scan, number: int, level: str, out: Path, seed: int) -> None:
    """Draw one fracture with each option, large: before, plain, with sclerosis, with a broken cortex and the truth."""
    centre = middle(scan, number)
    figure, axes = plt.subplots(2, 2, figsize=(13.5, 11))
    plain = simulate(scan, number, Fracture("wedge", 2), seed)
    both = simulate(scan, number, Fracture("wedge", 2), seed, sclerosis=True, cortical_break=True)
    draw(axes[0, 0], scan, scan.ct, None, centre, 0)
    draw(axes[0, 1], scan, plain.ct, None, centre, 0)
    draw(axes[1, 0], scan, both.ct, None, centre, 0)
    draw(axes[1, 1], scan, both.ct, both.truth, centre, 0)
    titles = (f"{level}, before", "wedge 2", "with sclerosis and a cortical break", "the same with its truth")
    for one, title in zip(axes.flat, titles, strict=True):
        one.set_title(title, fontsize=12)
    figure.tight_layout(pad=0.5)
    figure.savefig(out, dpi=62)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = options.data / "ct_verse014"
    lumbar = read(folder / "sub-verse014_ct.nii.gz", folder / "sub-verse014_seg-vert_msk.nii.gz")
    folder = options.data / "ct_totalsegmentator"
    trunk = read(folder / "example_ct.nii.gz", folder / "spine_totalseg.nii.gz")
    sheet(lumbar, 22, "L3", options.out / "fractures_verse014_L3.png", options.seed)
    sheet(trunk, 30, "L2", options.out / "fractures_totalsegmentator_L2.png", options.seed, sclerosis=True)
    before_after(lumbar, 21, "L2", options.out / "fractures_options.png", options.seed)


if __name__ == "__main__":
    main()
