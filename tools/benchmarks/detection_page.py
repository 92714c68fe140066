"""The detection benchmark's figures as a page."""

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

TITLES = {
    "hippocampus": "Hippocampus: anomalies put into brain MRI crops",
    "vessel": "Vessel: aneurysms among brain vessel segments",
}
MEASURES = {"voxel_average_precision": "voxel AP", "auroc": "case AUROC"}


def page(figures: Mapping[str, Any]) -> str:
    """Return the page of all tasks in the JSON that ``tools.benchmarks.detection`` wrote."""
    lines = [
        "# What detects",
        "",
        "Written by `python -m tools.benchmarks.detection`; do not edit. Every network is trained on normal scans",
        "alone, for the same number of epochs, and measured on patients it has not seen. 95 % intervals over patients;",
        "*default minus it* is paired on the same patients. Case scores are the mean of the largest 0.5 % of a map,",
        "fixed before anything was measured, but for the volume baseline.",
        "",
    ]
    for task, found in figures.items():
        lines += [f"## {TITLES.get(task, task)}", "", _about(found), "", *_table(found), "", *_types(found)]
    return "\n".join(lines)


def _about(found: Mapping[str, Any]) -> str:
    chance = f" A map that knows nothing has voxel AP {found['anomalous']:.3f}." if found["anomalous"] else ""
    return (
        f"{found['training']} normal scans to train on, {found['epochs']} epochs; {found['normal']} normal and "
        f"{found['abnormal']} abnormal cases of {found['patients']} patients held out.{chance} {found['machine']}."
    )


def _table(found: Mapping[str, Any]) -> list[str]:
    shown = [name for name in MEASURES if any(name in row["by_seed"][0] for row in found["rows"])]
    heads = ["model and score"]
    for name in shown:
        heads += [MEASURES[name], "mean ± sd of seeds", "default minus it"]
    lines = [_line([*heads, "training, s"]), _line(["---"] * (len(heads) + 1))]
    for row in found["rows"]:
        cells = [row["row"]]
        for name in shown:
            cells += _cells(row, name)
        lines.append(_line([*cells, f"{mean(row['seconds']):.0f}"]))
    return lines


def _cells(row: Mapping[str, Any], name: str) -> list[str]:
    by_seed = [one[name][0] for one in row["by_seed"] if name in one]
    first = _interval(row["by_seed"][0][name]) if by_seed else ""
    spread = f"{mean(by_seed):.3f} ± {stdev(by_seed):.3f} ({len(by_seed)})" if len(by_seed) > 1 else "one"
    difference = row.get("default_minus_it", {}).get(name)
    return [first, spread, _interval(difference, "+") if difference else ""]


def _types(found: Mapping[str, Any]) -> list[str]:
    kinds = list(found["rows"][0]["by_seed"][0].get("by_type", {}))
    if not kinds:
        return []
    head = ["voxel AP · case AUROC, first seed", *kinds]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in found["rows"]:
        types = row["by_seed"][0]["by_type"]
        cells = [
            " · ".join(f"{types[kind][name][0]:.3f}" for name in MEASURES if name in types[kind]) for kind in kinds
        ]
        lines.append(_line([row["row"], *cells]))
    return [*lines, ""]


def _interval(values: list[float], sign: str = "") -> str:
    value, low, high = (f"{number:{sign}.3f}" for number in values)
    return f"{value} [{low}, {high}]"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
