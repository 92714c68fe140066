"""An evaluation as people read it (Markdown, fit for a terminal too) and as programs do (JSON)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fracture_vae.evaluation.evaluate import Comparison, Evaluation, Group
from fracture_vae.evaluation.measures import title
from fracture_vae.evaluation.out_of_fold import SPECIFICITIES
from fracture_vae.evaluation.resampling import Estimate
from fracture_vae.files import require_folder, write_text

JSON_FILE = "evaluation.json"
TABLE_FILE = "evaluation.md"
_COLUMNS = {
    "AUROC": "auroc",
    "level alone": "level_alone_auroc",
    "within levels": "within_level_auroc",
    "AP": "average_precision",
    "voxel AP": "voxel_average_precision",
    "AUPRO": "aupro",
    "FROC": "froc",
    "oracle Dice": "dice@oracle",
}
"""Of the tables by level, grade and type."""
_COMPARED = ("auroc", "within_level_auroc", "voxel_average_precision")
"""Of the differences by level, grade and type; the JSON has all."""
_SMALL = 0.1  # a figure below it has three decimals in the tables too: of few voxels' precision nothing is left in two
_FEW = 5  # patients; the bootstrap's intervals are too narrow below


def write_evaluation(found: Evaluation, out: str | Path) -> tuple[Path, Path]:
    """Write ``evaluation.json`` and ``evaluation.md`` into the folder ``out``.

    Raises:
        InputError: it cannot be written to.
    """
    require_folder(out)
    paths = Path(out) / JSON_FILE, Path(out) / TABLE_FILE
    write_text(paths[0], json.dumps(as_json(found), indent=1, ensure_ascii=False) + "\n")
    write_text(paths[1], as_table(found))
    return paths


def as_table(found: Evaluation) -> str:
    """Return the evaluation as Markdown whose columns also line up in a terminal."""
    everything = found.groups[0]
    which = f"{found.kind} maps and scores" if everything.mapped else f"{found.kind} scores"
    lines = [
        f"# Evaluation of {which} in {found.maps}",
        "",
        f"Cohort {found.cohort}; models {', '.join(found.models) or 'unknown'}. {_counts(everything)} "
        f"95 % intervals: {found.resamples} resamples of patients, seed {found.seed}. Research use only.",
        "",
        *_grid(["all cases", "value", "95 % interval", "compare with"], _overall(everything)),
        "",
    ]
    for by, head in (("level", "by level"), ("grade", "by grade, with all normals"), ("type", "by type, likewise")):
        if groups := [group for group in found.groups if group.by == by]:
            lines += [*_by(head, groups), ""]
    for comparison in found.comparisons:
        lines += [*_compared(comparison, found.kind), ""]
    return "\n".join([*lines, *_notes(found), ""])


def _counts(group: Group) -> str:
    told = f"{group.abnormal} abnormal and {group.normal} normal cases of {group.patients} patients"
    if group.mapped:
        share = f"{group.anomalous:.3g} of their voxels"
        told += f"; voxels of {group.mapped} cases, in which {group.regions} regions, {share}, are anomalous"
    return f"{told}."


def _overall(group: Group) -> list[list[str]]:
    """Return a row a measure; what is read beside it stands in its last column."""
    beside = {
        "average_precision": f"{group.abnormal / (group.abnormal + group.normal):.3f}, no knowledge",
        "voxel_average_precision": f"{group.anomalous:.3g}, no knowledge",
        "auroc": "0.5, and the level alone below",
        "within_level_auroc": "0.5, the level alone",
        "auroc_over_level_alone": "0",
        "voxel_auroc": "not by itself: case AUROC and voxel AP above",
        "aupro": "0.15, a constant map",
    }
    beside |= {f"specificity@{specificity:g}": f"{specificity:g}, asked for" for specificity in SPECIFICITIES}
    rows = []
    for name, value in _shown(group.measures).items():
        interval = f"{value.low:.3f} to {value.high:.3f}{_mark(group, value)}"
        rows.append([title(name), f"{value.value:.3f}", interval, beside.get(name, "")])
    return rows


def _shown(measures: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return the measures without those that mislead alone: voxel AUROC only where case AUROC and voxel AP stand."""
    alone = not {"auroc", "voxel_average_precision"} <= measures.keys()
    order = [*(name for name in measures if "@" not in name), *(name for name in measures if "@" in name)]
    return {name: measures[name] for name in order if not (alone and name == "voxel_auroc")}


def _by(head: str, groups: Sequence[Group]) -> list[str]:
    columns = {name: key for name, key in _COLUMNS.items() if any(key in group.measures for group in groups)}
    rows = []
    for group in groups:
        values = [_short(group, group.measures.get(key)) for key in columns.values()]
        rows.append([group.name or "none", f"{group.abnormal} / {group.normal}", *values])
    return _grid([head, "abnormal / normal", *columns], rows)


def _compared(comparison: Comparison, kind: str) -> list[str]:
    minus = str(comparison.other) if comparison.kind == kind else f"{comparison.other} ({comparison.kind}, not {kind})"
    rows = []
    for group, differences in comparison.differences.items():
        for name, value in _shown(differences).items():
            if group == "all" or name in _COMPARED:
                clear = "" if value.low <= 0 <= value.high else "excludes 0"
                rows.append(
                    [group, title(name), f"{value.value:+.3f}", f"{value.low:+.3f} to {value.high:+.3f}", clear]
                )
    return _grid([f"minus {minus}", "difference of", "value", "95 % interval, paired", ""], rows)


def _short(group: Group, value: Estimate | None) -> str:
    if value is None:
        return "-"
    digits = 2 if value.value >= _SMALL else 3
    return f"{value.value:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f}){_mark(group, value)}"


def _mark(group: Group, value: Estimate) -> str:
    """Mark an interval that resampling makes too narrow: patients it has not seen are not in it."""
    return "*" if group.fewest < _FEW or value.low == value.high else ""


def _notes(found: Evaluation) -> list[str]:
    notes = list(found.notes)
    if found.binning:
        ap, aupro = found.binning
        notes.append(
            f"voxels are counted in bins of their score: ungrouped, voxel average precision lies in {ap.low:.4f} to "
            f"{ap.high:.4f}, AUPRO in {aupro.low:.4f} to {aupro.high:.4f}"
        )
    if any(_mark(group, value) for group in found.groups for value in group.measures.values()):
        notes.append(
            f"* fewer than {_FEW} patients with, or without, an abnormal case, or all resamples alike: the interval is "
            "too narrow, as it holds only what was seen"
        )
    if found.comparisons:
        if any(comparison.kind != found.kind for comparison in found.comparisons):
            notes.append("z maps and error maps are compared; calibrate both, or give --map error, for like with like")
        notes.append("of many differences that are none, about one in twenty excludes 0 by chance")
    return [f"- {note}" for note in notes]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table: the first column to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [
        "| "
        + " | ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        + " |"
        for line in [lines[0], rule, *lines[1:]]
    ]


def as_json(found: Evaluation) -> dict[str, Any]:
    """Return the evaluation as JSON values."""
    return {
        "what": "evaluation of anomaly maps and case scores, 95 % intervals by resampling patients; research use only",
        "maps": str(found.maps),
        "cohort": str(found.cohort),
        "kind": found.kind,
        "models": list(found.models),
        "seed": found.seed,
        "resamples": found.resamples,
        "groups": [{**group._asdict(), "measures": _plain(group.measures)} for group in found.groups],
        "against": [
            {
                "maps": str(comparison.other),
                "kind": comparison.kind,
                "differences": {name: _plain(values) for name, values in comparison.differences.items()},
            }
            for comparison in found.comparisons
        ],
        "binning": None
        if found.binning is None
        else {name: bounds._asdict() for name, bounds in found.binning._asdict().items()},
        "notes": list(found.notes),
    }


def _plain(measures: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: value._asdict() for name, value in measures.items()}
