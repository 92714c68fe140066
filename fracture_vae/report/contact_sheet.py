"""One picture of many cases: image, reconstruction, error and truth in three planes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fracture_vae.cohort.manifest import Case, read_cohort
from fracture_vae.cohort.nifti import description, shown_range
from fracture_vae.cohort.volumes import read_volume
from fracture_vae.errors import InputError
from fracture_vae.files import replacing
from fracture_vae.maps.table import SCORES_FILE, read_scores
from fracture_vae.report.formats import require_picture_name

PLANES = ("sagittal", "coronal", "axial")
SIDES = ("AP", "RL", "RL")
"""The patient's sides at the left and the right of each plane."""
MOST_CASES = 200
"""Lines of the longest sheet: matplotlib draws no picture of more than 65,535 pixels."""
COLUMNS = ("image", "reconstruction", "error", "truth")


class _Shown(NamedTuple):
    """What one case shows: volumes in RAS order, where the planes cut, and whether a mask vouches for the sides."""

    title: str
    image: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    error: NDArray[np.float32]
    truth: NDArray[np.bool_] | None
    centre: tuple[int, int, int]
    sided: bool
    range: tuple[float, float]
    """Of the error map, as its header asks to be shown."""


def draw_contact_sheet(maps: str | Path, out: str | Path, cohort: str | Path | None = None, cases: int = 6) -> Path:
    """Draw the highest and lowest scoring cases of each label among the maps in a folder, as a PNG.

    Planes cut through the vertebral body where the cohort has vertebra masks, else through the middle; truth may
    also lie in a vertebra's neighbours. Sagittal and coronal planes are drawn with superior up and the patient's
    front, respectively right, on the left; axial planes as seen from the feet, front up, the patient's right left.
    The sides are lettered where there is a vertebra mask. A reconstruction that is the image itself, as of a model that
    looks at the image alone, is left out.

    Args:
        maps: a folder an inference wrote.
        out: the picture.
        cohort: the cohort.csv, for the truth and vertebra masks.
        cases: how many.

    Raises:
        InputError: when there are no maps, or not of one size, a score is no number, or ``out`` is no picture's name.
    """
    if not 1 <= cases <= MOST_CASES:
        raise InputError(f"{cases} cases: give a number from 1 to {MOST_CASES}")
    require_picture_name(out)
    scores = Path(maps) / SCORES_FILE
    rows = _chosen(_scored(read_scores(scores), scores), cases)
    known = {case.case_id: case for case in read_cohort(cohort).cases} if cohort else {}
    shown = [_load(Path(maps), row, known.get(row["case_id"])) for row in rows]
    repeats = all(np.array_equal(case.image, case.reconstruction) for case in shown)
    columns = [column for column in COLUMNS if not (repeats and column == "reconstruction")]
    figure = Figure(figsize=(2.0 * len(PLANES) * len(columns), 2.2 * len(shown) + 1.0), facecolor="black")
    grid = figure.add_gridspec(
        len(shown), len(PLANES) * len(columns), left=0.005, right=0.995, top=1 - 1.0 / (2.2 * len(shown) + 1.0),
        bottom=0.002, wspace=0.02, hspace=0.12,
    )  # fmt: skip
    for line, case in enumerate(shown):
        for group, column in enumerate(columns):
            for offset in range(len(PLANES)):
                axes = figure.add_subplot(grid[line, group * len(PLANES) + offset])
                axes.set_axis_off()
                _draw(axes, case, column, offset)
                if line == 0 and offset == 1:
                    axes.text(0.5, 1.2, column, color="white", fontsize=13, ha="center", transform=axes.transAxes)
                if group == 0 and offset == 0:
                    axes.set_title(case.title, color="white", fontsize=9, loc="left", pad=3)
    figure.text(0.995, 0.99, _scale(Path(maps), rows[0], shown[0]), color="grey", ha="right", va="top")
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=80, facecolor="black")
    return Path(out)


def _scale(folder: Path, row: dict[str, str], first: _Shown) -> str:
    """Say what the error map is and how it is shown, as the header of the first says."""
    low, high = first.range
    return f"error: {low:g} to {high:g}, {description(_map(folder, row, 'error'))}"


def _map(folder: Path, row: dict[str, str], kind: str) -> Path:
    return folder / f"{row['case_id']}_{kind}.nii.gz"


def _scored(rows: Sequence[dict[str, str]], file: Path) -> Sequence[dict[str, str]]:
    """Require that every score is a number, and return the rows."""
    if not rows:
        raise InputError(f"{file} lists no case: nothing to draw; run fracture-vae infer")
    for row in rows:
        try:
            float(row["score"])
        except ValueError as error:
            said = f"score of '{row['case_id']}' is '{row['score']}'"
            raise InputError(f"{file}: {said}, not a number; run fracture-vae infer again") from error
    return rows


def _chosen(rows: Sequence[dict[str, str]], cases: int) -> list[dict[str, str]]:
    """Return the rows shown: for each label the highest and lowest scores in turn, abnormal cases first."""
    groups = [
        sorted((row for row in rows if _label(row) == label), key=lambda row: -float(row["score"]))
        for label in ("1", "0", "")
    ]
    groups = [group for group in groups if group]
    share = [cases // len(groups) + (index < cases % len(groups)) for index in range(len(groups))]
    return [row for group, count in zip(groups, share, strict=True) for row in _ends(group, count)]


def _label(row: dict[str, str]) -> str:
    return row["label"] if row.get("label") in ("0", "1") else ""


def _ends(group: Sequence[dict[str, str]], count: int) -> list[dict[str, str]]:
    if count >= len(group):
        return list(group)
    upper = (count + 1) // 2
    return [*group[:upper], *group[len(group) - (count - upper) :]]


def _load(folder: Path, row: dict[str, str], case: Case | None) -> _Shown:
    def volume(kind: str) -> NDArray[np.float32]:
        path = _map(folder, row, kind)
        array = read_volume(path, allow_constant=True).array
        if kind != "recon" and array.shape != reconstruction.shape:
            raise InputError(
                f"{path}: its size {array.shape} is not the reconstruction's {reconstruction.shape}; run "
                "fracture-vae infer again"
            )
        return array

    reconstruction = volume("recon")
    image = reconstruction + volume("signed")
    truth = _mask(case.mask) if case else None
    own = _mask(case.vertebra_mask) if case else None
    name = {"0": "normal", "1": "abnormal", "": "unknown"}[_label(row)]
    title = f"{row['case_id']}  {name}  score {float(row['score']):.3f}{_judged(row)}"
    i, j, k = (size // 2 for size in image.shape) if own is None else _body(own)
    error, shown = volume("error"), shown_range(_map(folder, row, "error"))
    return _Shown(title, image, reconstruction, error, truth, (i, j, k), own is not None, shown)


def _judged(row: dict[str, str]) -> str:
    """Say what a calibration made of the case, where there is one."""
    if not row.get("p_value"):
        return ""
    return f"  p {float(row['p_value']):.2g}" + ("  FLAGGED" if row.get("flagged") == "1" else "")


def _mask(path: Path | None) -> NDArray[np.bool_] | None:
    return None if path is None else read_volume(path, allow_constant=True).array > 0


def _body(own: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return a voxel in the vertebral body: the vertebra's median in R and S, its 70th percentile towards A."""
    voxels = np.argwhere(own)
    return int(np.median(voxels[:, 0])), int(np.percentile(voxels[:, 1], 70)), int(np.median(voxels[:, 2]))


def _draw(axes: Axes, case: _Shown, column: str, plane: int) -> None:
    """Draw one panel."""
    show = axes.imshow
    image = _plane(case.image, plane, case.centre)
    if column in ("image", "reconstruction"):
        source = image if column == "image" else _plane(case.reconstruction, plane, case.centre)
        show(source, cmap="gray", vmin=0, vmax=0.5)
        if case.sided and column == "image":
            for x, side in zip((0.05, 0.95), SIDES[plane], strict=True):
                _letter(axes, x, side)
    elif column == "error":
        show(_plane(case.error, plane, case.centre), cmap="inferno", vmin=case.range[0], vmax=case.range[1])
    else:
        show(image, cmap="gray", vmin=0, vmax=0.5)
        if case.truth is not None and case.truth.any():
            axes.contour(_plane(case.truth, plane, case.centre), [0.5], colors="red", linewidths=1)


def _letter(axes: Axes, x: float, side: str) -> None:
    axes.text(x, 0.97, side, color="white", fontsize=7, ha="center", va="top", transform=axes.transAxes)


def _plane(volume: NDArray[np.generic], plane: int, centre: tuple[int, int, int]) -> NDArray[np.generic]:
    """Return one plane of a RAS volume as radiologists look at it."""
    i, j, k = centre
    if plane == 0:
        return volume[i, ::-1, ::-1].T  # front on the left, superior up
    if plane == 1:
        return volume[::-1, j, ::-1].T  # the patient's right on the left, superior up
    return volume[::-1, ::-1, k].T
