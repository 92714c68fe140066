"""The figures of broken vertebrae as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from tools.benchmarks.pages import interval, table

GROUPS = ("all", "grade 1", "grade 2", "grade 3")
GOALS: Mapping[str, float] = {"grade 1": 0.70, "grade 2": 0.85, "grade 3": 0.85}
"""Case AUROC within levels that was aimed for."""
SHIPPED = "default"
"""The bundle as it ships: what the others are compared with."""
FEW = 5
"""Patients below which an interval says too little, as `fracture-vae evaluate` marks it."""
PARTS = {
    "study": "The synthetic reference study, out of fold",
    "fresh": "New patients: another study",
    "holdout": "The same study's hold-out, scored by all five folds' models together",
    "real": "Real vertebrae with simulated fractures, scored by the models of synthetic ones",
}


AIMED = ("study", "fresh")
"""The parts whose goals are told."""
CALIBRATED = {
    "within_level_auroc": "AUROC within levels",
    "voxel_average_precision": "voxel AP",
    "sensitivity@calibrated": "sensitivity",
    "specificity@calibrated": "specificity",
    "dice@calibrated": "Dice at the threshold",
    "dice@oracle": "Dice, oracle",
}


def page(figures: Mapping[str, Any]) -> str:
    """Return the page of the JSON that ``tools.benchmarks.detection_spines`` wrote."""
    lines = [
        "# What detects broken vertebrae",
        "",
        "Written by `python -m tools.benchmarks.detection_spines`; do not edit. Every model has seen whole vertebrae",
        "alone, 64³ voxels of 2 mm, and scores patients it has not seen. Case scores are the mean of the largest 0.5 %",
        "of a map within 5 mm of the vertebra. *Within levels* compares vertebrae of the same level only, so that to",
        "know the level earns nothing: the level alone has 0.5 there. Brackets hold 95 % intervals over patients;",
        "*minus* is paired on the same patients.",
        f"{figures['machine']['cpu']}, one core, shared; one study (seed {figures['seed']}), one training a fold.",
        "",
        "How the default trains on vertebrae was chosen on this study's own folds, so the figures out of fold are no",
        "clean test of it ([what was tried](results_selection.md)); the new patients, the hold-out and the real scans",
        "were not looked at for that.",
        "",
    ]
    for part, title in PARTS.items():
        if part in figures:
            lines += [f"## {title}", "", *_part(figures[part], part in AIMED), "", *_calibrated(figures[part])]
    lines += ["## Models", "", *(f"- **{name}**: {about}." for name, about in figures["about"].items())]
    return "\n".join(lines) + "\n"


def _looks(dates: Sequence[str]) -> list[str]:
    """Say how often models were run over a hold-out, by its record."""
    if not dates:
        return []
    told = f"By its record models were run over this hold-out {len(dates)} times, from {min(dates)} to {max(dates)}"
    return [f"{told}; MONAI's leave no line there.", ""]


def _part(found: Mapping[str, Any], aimed: bool) -> list[str]:
    rows = found["rows"]
    few = " Over so few patients intervals are too narrow: they hold what was seen." if found["patients"] < FEW else ""
    lines = [
        f"{found['normal']} whole and {found['abnormal']} broken vertebrae of {found['patients']} patients.{few}",
        "",
        *_looks(found.get("looks", [])),
    ]
    groups = [group for group in GROUPS if group in next(iter(rows.values()))["groups"]]
    lines += _table("AUROC", "auroc", rows, groups)
    lines += _table("AUROC within levels", "within_level_auroc", rows, groups)
    lines += _table("voxel AP", "voxel_average_precision", rows, groups)
    if rows.get(SHIPPED, {}).get("leads"):
        body = [
            [name, *(_estimate(lead.get(group, {}).get("within_level_auroc")) for group in groups)]
            for name, lead in rows[SHIPPED]["leads"].items()
        ]
        lines += [*table([f"within levels, {SHIPPED} minus", *groups], body), ""]
    if aimed and SHIPPED in rows:
        lines += [f"The default {_goals(rows[SHIPPED]['groups'])}", ""]
    lines.append(
        "Seconds of training or fitting, all folds: "
        + ", ".join(f"{name} {row['cpu_seconds']}" for name, row in rows.items())
        + "."
    )
    return lines


def _calibrated(found: Mapping[str, Any]) -> list[str]:
    """Return what z maps and flags are worth, of models calibrated on the normals of their own study."""
    if "calibrated" not in found:
        return []
    body = [[name, *(_estimate(row.get(one), 3) for one in CALIBRATED)] for name, row in found["calibrated"].items()]
    return [
        f"Calibrated on out-of-fold maps of their own study's normals, for at most {found['alpha']:.0%} false alarms,",
        "no abnormal label seen: what the z maps are worth, and the flags and voxels above the threshold.",
        "",
        *table(["z maps", *CALIBRATED.values()], body),
        "",
    ]


def _table(title: str, measure: str, rows: Mapping[str, Any], groups: Sequence[str]) -> list[str]:
    digits = 3 if measure == "voxel_average_precision" else 2
    body = [
        [name, *(_estimate(row["groups"][group].get(measure), digits) for group in groups)]
        for name, row in rows.items()
    ]
    if measure == "auroc":
        first = next(iter(rows.values()))["groups"]
        body.append(["level alone", *(_estimate(first[group].get("level_alone_auroc")) for group in groups)])
    return [*table([title, *groups], body), ""]


def _estimate(given: Sequence[float] | None, digits: int = 2) -> str:
    return "—" if given is None else interval(given, digits=digits)


def _goals(groups: Mapping[str, Any]) -> str:
    told = []
    for group, least in GOALS.items():
        value = groups.get(group, {}).get("within_level_auroc")
        if value is not None:
            told.append(
                f"{group} at least {least:.2f}, {'reached' if value[0] >= least else 'missed'} ({value[0]:.3f})"
            )
    return f"was to reach, within levels: {'; '.join(told)}."
