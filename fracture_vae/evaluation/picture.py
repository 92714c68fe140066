"""The curves behind an evaluation's areas, as one picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fracture_vae.evaluation.curves import FALSE_RATES, LIMIT
from fracture_vae.evaluation.evaluate import Evaluation, Group
from fracture_vae.evaluation.lines import Line
from fracture_vae.files import replacing

PICTURE_FILE = "evaluation.png"
_PANELS = {
    "roc": ("cases: ROC", "1 - specificity", "sensitivity", "auroc"),
    "precision": ("cases: precision and recall", "recall", "precision", "average_precision"),
    "voxel_precision": ("voxels: precision and recall", "recall", "precision", "voxel_average_precision"),
    "froc": ("lesions: FROC", "false candidates an image", "share of regions hit", "froc"),
    "pro": ("regions: overlap", "voxels' false-positive rate", "mean share of a region", "aupro"),
}
"""By name: title, axes, and the measure in the legend."""


def draw_curves(found: Evaluation, out: str | Path) -> Path:
    """Draw ROC, precision, FROC and PRO curves of all cases into ``evaluation.png`` in the folder ``out``.

    Measures stand in the legends with their intervals; grey is what no knowledge reaches, or the level alone. Without
    voxel truth the curves of cases are drawn alone.
    """
    panels = [name for name in _PANELS if name in found.lines]
    figure = Figure(figsize=(3.9 * len(panels), 4.0), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _draw(axes, name, found.lines, found.groups[0])
    path = Path(out) / PICTURE_FILE
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path


def _draw(axes: Axes, name: str, lines: Mapping[str, Line], group: Group) -> None:
    title, x, y, measure = _PANELS[name]
    axes.plot(*lines[name], color="#1f5fa8", label=str(group.measures[measure]))
    if name == "roc":
        _beside(axes, lines, group)
    elif name in ("precision", "voxel_precision"):
        share = group.anomalous if name == "voxel_precision" else group.abnormal / (group.abnormal + group.normal)
        axes.set_xlim(0, 1)
        axes.axhline(share, color="grey", linestyle="--", label=f"no knowledge {share:.3g}")
    elif name == "froc":
        axes.set_xlim(FALSE_RATES[0] / 2, FALSE_RATES[-1] * 4)  # first: a map without candidates gives no range
        axes.set_xscale("log", base=2)
        axes.set_xticks(FALSE_RATES, [f"{rate:g}" for rate in FALSE_RATES])
    else:
        axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="no knowledge 0.15")
        axes.set_xlim(0, LIMIT)
    axes.set(title=title, xlabel=x, ylabel=y, ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)


def _beside(axes: Axes, lines: Mapping[str, Line], group: Group) -> None:
    """Draw the level alone, or, where there are no levels, the diagonal."""
    if "level_alone_auroc" in group.measures:
        told = f"level alone {group.measures['level_alone_auroc']}"
        axes.plot(*lines["level_alone_roc"], color="grey", linestyle="--", label=told)
    else:
        axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="no knowledge 0.5")
