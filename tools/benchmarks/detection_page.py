"""The detection benchmark's figures as a page."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from tools.benchmarks.detection_rows import BASELINES, DEFAULT, MONAI, TRAININGS, baseline_rows
from tools.benchmarks.pages import interval, spread, table


class Goal(NamedTuple):
    """What was aimed for: at least ``least`` of ``measure``."""

    measure: str
    least: float


TITLES = {
    "hippocampus": "Hippocampus: anomalies put into brain MRI crops",
    "vessel": "Vessel: aneurysms among brain vessel segments",
}
WIDER = {
    "hippocampus": ", the same normal scans with other anomalies put in",
    "vessel": " of the training split, all but those of the fold where compositions were chosen",
}
MEASURES = {"voxel_average_precision": "voxel AP", "auroc": "case AUROC"}
GOALS: Mapping[str, Sequence[Goal]] = {
    "hippocampus": (Goal("voxel_average_precision", 0.20), Goal("auroc", 0.72)),
    "vessel": (Goal("auroc", 0.90),),
}


_DEFORMED = (
    "A *deformation* moves tissue by a few voxels at most and leaves values as they were: no model measured "
    "here finds much of it."
)


def page(figures: Mapping[str, Any], overview: Sequence[str] = ()) -> str:
    """Return the page of all tasks in the JSON that ``tools.benchmarks.detection`` wrote, below an overview."""
    lines = [
        "# What detects",
        "",
        "Written by `python -m tools.benchmarks.detection` (`make detection`); do not edit. Every network is trained",
        "on normal scans alone, those of a task for the same number of epochs, and measured on patients it has not",
        "seen, by the weights of its last epoch. Brackets hold 95 % intervals over patients, of the first seed;",
        "*default minus it* is paired on the same patients. Case scores are the mean of the largest 0.5 % of a map,",
        "fixed before anything was measured, but for the volume baseline. Seconds are of one core, of all trainings",
        "that a row needs; the machine was shared. Compositions were chosen on another fold and other anomalies",
        "([how the head learns](results_selection.md)).",
        "",
        *overview,
        "[Spines in full](results_spines.md), [digits in full](vae_family.md#one-digit-as-the-normal-class).",
        "",
    ]
    for task, found in figures.items():
        lines += [f"## {TITLES.get(task, task)}", "", _about(found), "", *_table(task, found), ""]
        lines += [*_goals(task, found), "", *_types(found), *_wider(task, found)]
    lines += ["## Models", "", "Networks learn by AdamW at 3e-3, unless another optimizer or rate is named.", ""]
    lines += [f"- **{name}**: {training.about}." for name, training in TRAININGS.items()]
    lines.append(
        f"- **{MONAI}**: MONAI's own network of this kind, as wide, for as many seconds of one core as *plain* took."
    )
    return "\n".join([*lines, *(f"- **{name}**: {about}." for name, about in BASELINES.items())]) + "\n"


def _about(found: Mapping[str, Any]) -> str:
    cases = found["cases"]["all"]
    chance = f" A map that knows nothing has voxel AP {cases['anomalous']:.3f}." if cases["anomalous"] else ""
    return (
        f"{found['training']} normal scans to train on, {found['epochs']} epochs; {cases['normal']} normal and "
        f"{cases['abnormal']} abnormal cases of {cases['patients']} patients held out.{chance} "
        f"{found['machine']['cpu']}."
    )


def _shown(found: Mapping[str, Any]) -> list[str]:
    return [name for name in MEASURES if any(name in row["by_seed"][0]["all"] for row in found["rows"])]


def _table(task: str, found: Mapping[str, Any], part: str = "all") -> list[str]:
    shown, default = _shown(found), DEFAULT[task].name
    heads = ["model and score"]
    for name in shown:
        heads += [MEASURES[name], "mean ± sd of seeds (n)", "default minus it"]
    body = []
    for row in found["rows"]:
        cells = [f"**{row['row']}** (default)" if row["row"] == default else row["row"]]
        for name in shown:
            cells += _cells(row, name, part)
        body.append([*cells, f"{mean(one['cpu_seconds'] for one in row['by_seed']):.0f}"])
    return table([*heads, "training, s"], body)


def _cells(row: Mapping[str, Any], name: str, part: str) -> list[str]:
    by_seed = row["by_seed"]
    values = [one[part][name][0] for one in by_seed if name in one.get(part, {})]
    if not values:
        return ["", "", ""]
    difference = row.get("default_minus_it", {}).get(part, {}).get(name)
    return [interval(by_seed[0][part][name]), spread(values), interval(difference, "+") if difference else ""]


def _goals(task: str, found: Mapping[str, Any]) -> list[str]:
    """Say of each goal whether the default reaches it, and over which baselines its lead is beyond doubt."""
    rows = {row["row"]: row for row in found["rows"]}
    default = rows.get(DEFAULT[task].name)
    if default is None:
        return [f"The default ({DEFAULT[task].name}) is not measured yet, and no goal is."]
    lines = []
    for goal in GOALS[task]:
        values = [one["all"][goal.measure][0] for one in default["by_seed"]]
        reached = "reached" if mean(values) >= goal.least else f"missed by {goal.least - mean(values):.3f}"
        lines.append(
            f"- Goal: {MEASURES[goal.measure]} of at least {goal.least:.2f}: **{reached}** by the default, "
            f"{mean(values):.3f} on average over {len(values)} seed(s)."
        )
    return [*lines, *_leads(task, found)]


def _leads(task: str, found: Mapping[str, Any], part: str = "all") -> list[str]:
    """Say over which baselines the default's lead is beyond doubt."""
    rows = {row["row"]: row for row in found["rows"]}
    wanted, lines = [row.name for row in baseline_rows(task)], []
    for name in _shown(found):
        known = {row: rows[row].get("default_minus_it", {}) for row in wanted if row in rows}
        leads = {row: lead[part][name] for row, lead in known.items() if part in lead}
        open_ = [row for row, (_, low, _) in leads.items() if low <= 0]
        missing = [row for row in wanted if row not in leads]
        lines.append(
            f"- Of the first training, the interval of the default's lead in {MEASURES[name]} is above zero for "
            f"{len(leads) - len(open_)} of {len(wanted)} baselines"
            f"{_named('not for', open_)}{_named('not measured yet:', missing)}."
        )
    return lines


def _wider(task: str, found: Mapping[str, Any]) -> list[str]:
    """Tell what the same models measure with the anomalies beside that nothing was learnt from or chosen on."""
    if "wider" not in found["cases"]:
        return []
    cases = found["cases"]["wider"]
    more = cases["abnormal"] - found["cases"]["all"]["abnormal"]
    return [
        "So few abnormal cases leave wide intervals. No model learns from an abnormal case, so the same models were",
        f"run over {more} more{WIDER[task]}:",
        f"{cases['normal']} normal and {cases['abnormal']} abnormal cases.",
        "",
        *_table(task, found, "wider"),
        "",
        *_leads(task, found, "wider"),
        "",
    ]


def _named(what: str, rows: Sequence[str]) -> str:
    return f"; {what} {', '.join(rows)}" if rows else ""


def _types(found: Mapping[str, Any]) -> list[str]:
    kinds = list(found["rows"][0]["by_seed"][0].get("by_type", {}))
    if not kinds:
        return []
    head = ["voxel AP · case AUROC, first seed", *kinds]
    body = []
    for row in found["rows"]:
        types = row["by_seed"][0]["by_type"]
        cells = [
            " · ".join(f"{types[kind][name][0]:.3f}" for name in MEASURES if name in types[kind]) for kind in kinds
        ]
        body.append([row["row"], *cells])
    return [*table(head, body), "", *([_DEFORMED, ""] if "deformation" in kinds else [])]
