"""Options that several commands share, so that they are named, explained and checked in one way."""

from pathlib import Path
from typing import Any

import click


class _File(click.Path):
    """A path; one that begins as an expression of MONAI's configs does becomes absolute, so that it is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        return Path.cwd() / str(path) if str(path).startswith(("$", "@", "%")) else path


FILE = _File(path_type=Path)
SEED = click.IntRange(min=0)

ct_option = click.option("--ct", required=True, type=FILE, help="CT in HU (NIfTI).")
mask_option = click.option("--mask", required=True, type=FILE, help="Vertebra numbers on the CT's grid (NIfTI).")
labels_option = click.option(
    "--labels",
    default="verse",
    show_default=True,
    metavar="verse|totalsegmentator|FILE",
    help="What the mask's numbers mean; a file is CSV (label,level) or JSON.",
)
patient_option = click.option("--patient", default=None, help="Patient id; taken from the CT's name by default.")
level_option = click.option(
    "--level", "levels", multiple=True, metavar="T4-L5", help="Crop only these levels. Repeatable."
)
size_option = click.option("--size", default=128, show_default=True, help="Edge of a crop in voxels.")
spacing_option = click.option("--spacing", default=1.0, show_default=True, help="Voxel size of a crop in mm.")
hu_window_option = click.option(
    "--hu-window", nargs=2, type=float, default=(0.0, 1900.0), show_default=True, help="HU mapped to [0, 1]."
)
