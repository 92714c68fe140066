"""Draw each corruption on healthy scans: before, after, and the truth.

    python -m tools.corruption_sheet --seed 6 --out FILE.png HIPPOCAMPUS.nii.gz … --spine CROP.nii.gz …

Each corruption takes a row. Slices are sagittal, where most was changed. No change is a disease: each is drawn.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import click
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fracture_vae.cohort.volumes import read_volume
from fracture_vae.files import replacing
from fracture_vae.transforms import Preprocessing, pad_to
from fracture_vae.transforms.corruption import build_corruption, corrupt

SHOWN = (
    "deformation",
    "foreign_patch",
    "poisson_patch",
    "intensity",
    "texture",
    "coarse_noise",
    "masked_blocks",
    "collapse",
)
BRIGHTEST = 0.45
"""Shown white in a crop: bone windowed to 0–1900 HU is dark."""
SPINE = 64
"""Voxels across from which a volume may be a crop around a vertebra."""


def batch_of(paths: Sequence[Path], preprocessing: Preprocessing) -> Tensor:
    """Return (B, 1, H, W, D) in [0, 1], each volume centred in the largest's size."""
    arrays = [preprocessing(read_volume(path).array, str(path)) for path in paths]
    size = np.max([array.shape for array in arrays], axis=0).tolist()
    return torch.from_numpy(np.stack([pad_to(array, size) for array in arrays]))[:, None]


def slices(image: Tensor, corrupted: Tensor, truth: Tensor, axis: int) -> list[NDArray[np.float32]]:
    """Return three slices across ``axis``, where the truth (1, H, W, D) is largest: before, after, after with truth."""
    area = truth[0].sum([other for other in range(3) if other != axis])
    at = int(area.argmax()) if area.any() else truth.shape[1 + axis] // 2
    return [np.rot90(volume[0].select(axis, at).numpy()) for volume in (image, corrupted, truth)]


@click.command(help=__doc__)
@click.argument("images", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True)
@click.option("--spine", type=click.Path(exists=True, path_type=Path), multiple=True, help="A crop around a vertebra.")
@click.option("--only", multiple=True, help="A corruption to show; all of them by default.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(images: tuple[Path, ...], spine: tuple[Path, ...], only: tuple[str, ...], seed: int, out: Path) -> None:
    names = only or SHOWN
    brains = batch_of(images, Preprocessing("percentile"))
    crops = batch_of(spine, Preprocessing("none")) if spine else brains[:0]
    width = 3 * (len(brains) + len(crops))
    figure, axes = plt.subplots(len(names), width, figsize=(width, len(names)), squeeze=False)
    for row, name in zip(axes, names, strict=True):
        row[0].set_ylabel(name, fontsize=7)
        column = 0
        for batch, brightest in ((brains, 1.0), (crops, BRIGHTEST)):
            for before, after, truth in examples(batch, name, seed):
                for part, top in ((before, brightest), (after, brightest), (truth, 1.0)):
                    row[column].imshow(part, cmap="gray", vmin=0, vmax=top)
                    column += 1
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], facecolor="black")
    figure.subplots_adjust(left=0.025, right=1, bottom=0, top=1, wspace=0.03, hspace=0.03)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=80)
    with replacing(out) as temporary:  # grey, a third of the size
        Image.open(drawn).convert("L").save(temporary, format="png", optimize=True)


def examples(batch: Tensor, name: str, seed: int) -> list[list[NDArray[np.float32]]]:
    """Return for each of ``batch`` its slices; black ones where the corruption is for vertebrae and these are none."""
    if name == "collapse" and batch.shape[2] < SPINE:
        return [[np.zeros((1, 1), np.float32)] * 3] * len(batch)
    if not len(batch):
        return []
    out = corrupt(batch, build_corruption(name), torch.Generator().manual_seed(seed))
    return [slices(*one, axis=0) for one in zip(batch, *out, strict=True)]


if __name__ == "__main__":
    main()
