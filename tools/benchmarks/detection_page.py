"""The detection benchmark's figures as a page."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from tools.benchmarks.detection_rows import BASELINES, DEFAULT, MONAI, TRAININGS, baseline_rows


class Goal(NamedTuple):
    """What was aimed for: at least ``least`` of ``measure``."""

    measure: str
    least: float


TITLES = {
    "hippocampus": "Hippocampus: anomalies put into brain MRI crops",
    "vessel": "Vessel: aneurysms among brain vessel segments",
}
MEASURES = {"voxel_average_precision": "voxel AP", "auroc": "case AUROC"}
GOALS: Mapping[str, Sequence[Goal]] = {
    "hippocampus": (Goal("voxel_average_precision", 0.20), Goal("auroc", 0.72)),
    "vessel": (Goal("auroc", 0.90),),
}


def page(figures: Mapping[str, Any], overview: Sequence[str] = (), selection: Mapping[str, Any] | None = None) -> str:
    """Return the page of all tasks in the JSON that ``tools.benchmarks.detection`` wrote, below an overview.

    Of the tasks in ``selection``, what it measured where compositions were chosen stands behind.
    """
    lines = [
        "# What detects",
        "",
        "Written by `python -m tools.benchmarks.detection` (`make detection`); do not edit. Every network is trained",
        "on normal scans alone, those of a task for the same number of epochs, and measured on patients it has not",
        "seen, by the weights of its last epoch. Brackets hold 95 % intervals over patients, of the first seed;",
        "*default minus it* is paired on the same patients. Case scores are the mean of the largest 0.5 % of a map,",
        "fixed before anything was measured, but for the volume baseline. Seconds are of one core, of all trainings",
        "that a row needs; the machine was shared. Compositions were chosen on another fold and other anomalies.",
        "",
        *overview,
        "[Spines in full](results_spines.md), [digits in full](vae_family.md#one-digit-as-the-normal-class).",
        "",
    ]
    for task, found in figures.items():
        lines += [f"## {TITLES.get(task, task)}", "", _about(found), "", *_table(task, found), ""]
        lines += [*_goals(task, found), "", *_types(found), *_selection(task, (selection or {}).get(task))]
    lines += ["## Models", "", *(f"- **{name}**: {training.about}." for name, training in TRAININGS.items())]
    lines.append(
        f"- **{MONAI}**: MONAI's own network of this kind, as wide, for as many seconds of one core as *plain* took."
    )
    return "\n".join([*lines, *(f"- **{name}**: {about}." for name, about in BASELINES.items())]) + "\n"


def _about(found: Mapping[str, Any]) -> str:
    chance = f" A map that knows nothing has voxel AP {found['anomalous']:.3f}." if found["anomalous"] else ""
    return (
        f"{found['training']} normal scans to train on, {found['epochs']} epochs; {found['normal']} normal and "
        f"{found['abnormal']} abnormal cases of {found['patients']} patients held out.{chance} "
        f"{found['machine']['cpu']}."
    )


def _shown(found: Mapping[str, Any]) -> list[str]:
    return [name for name in MEASURES if any(name in row["by_seed"][0]["all"] for row in found["rows"])]


def _table(task: str, found: Mapping[str, Any]) -> list[str]:
    shown, default = _shown(found), DEFAULT[task].name
    heads = ["model and score"]
    for name in shown:
        heads += [MEASURES[name], "mean ± sd of seeds (n)", "default minus it"]
    lines = [_line([*heads, "training, s"]), _line(["---"] * (len(heads) + 1))]
    for row in found["rows"]:
        cells = [f"**{row['row']}** (default)" if row["row"] == default else row["row"]]
        for name in shown:
            cells += _cells(row, name)
        lines.append(_line([*cells, f"{mean(one['cpu_seconds'] for one in row['by_seed']):.0f}"]))
    return lines


def _cells(row: Mapping[str, Any], name: str) -> list[str]:
    by_seed = row["by_seed"]
    values = [one["all"][name][0] for one in by_seed if name in one["all"]]
    if not values:
        return ["", "", ""]
    spread = f"{mean(values):.3f} ± {stdev(values):.3f} ({len(values)})" if len(values) > 1 else f"{values[0]:.3f} (1)"
    difference = row.get("default_minus_it", {}).get(name)
    return [_interval(by_seed[0]["all"][name]), spread, _interval(difference, "+") if difference else ""]


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
    wanted = [row.name for row in baseline_rows(task)]
    for name in _shown(found):
        leads = {row: rows[row]["default_minus_it"][name] for row in wanted if "default_minus_it" in rows.get(row, {})}
        open_ = [row for row, (_, low, _) in leads.items() if low <= 0]
        missing = [row for row in wanted if row not in leads]
        lines.append(
            f"- Of the first training, the interval of the default's lead in {MEASURES[name]} is above zero for "
            f"{len(leads) - len(open_)} of {len(wanted)} baselines"
            f"{_named('not for', open_)}{_named('not measured yet:', missing)}."
        )
    return lines


def _selection(task: str, found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    return [
        f"The composition was chosen on {found['normal']} normal and {found['abnormal']} abnormal cases of another",
        "fold, which are therefore kinder to the default than to the others. Trained on the rest, there they have:",
        "",
        *_table(task, found),
        "",
    ]


def _named(what: str, rows: Sequence[str]) -> str:
    return f"; {what} {', '.join(rows)}" if rows else ""


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


def _interval(values: Sequence[float], sign: str = "") -> str:
    value, low, high = (f"{number:{sign}.3f}" for number in values)
    return f"{value} [{low}, {high}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
