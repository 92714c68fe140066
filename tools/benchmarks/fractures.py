"""Breaks every whole vertebra of the real CTs in every type and grade and prints what is measured, as a table.

python -m tools.benchmarks.fractures --data DATA [--scan ct_verse014]

DATA holds the CTs as tests/conftest.py looks for them beside the checkout.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.fracture import break_vertebrae, draw_candidates
from fracture_vae.cohort.fracture.noise import fine
from fracture_vae.cohort.genant import GRADE_LOSS, TYPES, Fracture
from fracture_vae.cohort.volumes import read_volume

_SCANS = (
    (
        "ct_verse014",
        "sub-verse014_ct.nii.gz",
        "sub-verse014_seg-vert_msk.nii.gz",
        {20: "L1", 21: "L2", 22: "L3", 23: "L4", 24: "L5"},
    ),
    (
        "ct_totalsegmentator",
        "example_ct.nii.gz",
        "spine_totalseg.nii.gz",
        {31: "L1", 30: "L2", 29: "L3", 28: "L4", 27: "L5"},
    ),
)


def texture(ct: NDArray[np.float32], labels: NDArray[np.uint8], number: int) -> float:
    """Spread (HU) of the finest part of the image within a vertebra."""
    return float(np.median(np.abs(fine(ct)[ndimage.binary_erosion(labels == number)])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scan", default="", help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| scan | level | type | grade | asked | anterior | middle | posterior | in range | fine texture |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    right = total = 0
    for folder, ct_name, mask_name, levels in (scan for scan in _SCANS if options.scan in ("", scan[0])):
        ct, mask = read_volume(options.data / folder / ct_name), read_volume(options.data / folder / mask_name)
        labels = mask.array.astype(np.uint8)
        for number, level in levels.items():
            usual = texture(ct.array, labels, number)
            for kind in TYPES:
                for grade, (low, high) in GRADE_LOSS.items():
                    drawn = draw_candidates(options.seed, number, Fracture(kind, grade))
                    made = break_vertebrae(ct.array, labels, ct.affine, {number: drawn}, {number: level}, options.seed)
                    broken = made.fractures[0]
                    losses = broken.losses
                    within = low <= losses[TYPES.index(kind)] <= high
                    right, total = right + within, total + 1
                    shown = " | ".join(f"{100 * loss:.1f}" for loss in losses)
                    ratio = texture(made.ct, made.labels, number) / usual
                    print(
                        f"| {folder.removeprefix('ct_')} | {level} | {kind} | {grade} "
                        f"| {100 * broken.parameters.loss:.1f} | {shown} | {'yes' if within else 'NO'} | {ratio:.2f} |",
                        flush=True,
                    )
    print(f"\n{right} of {total} in range, seed {options.seed}")


if __name__ == "__main__":
    main()
