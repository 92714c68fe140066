"""What each task of detection asked for and what it got, in one table: the head of docs/results.md."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from tools.benchmarks.detection_page import GOALS, MEASURES, TITLES
from tools.benchmarks.detection_rows import DEFAULT, baseline_rows
from tools.benchmarks.detection_spines_page import GOALS as SPINE_GOALS
from tools.benchmarks.detection_spines_page import SHIPPED
from tools.benchmarks.pages import interval, table

DIGITS_GOAL = 0.97
WITHIN = "within_level_auroc"
SPINES = {
    "study": "Synthetic spines, out of fold",
    "fresh": "Synthetic spines, new patients",
    "holdout": "Synthetic spines, the hold-out",
    "real": "Real vertebrae, simulated fractures",
}
DIGITS = tuple((bundle, "one_class", "both") for bundle in ("mnist_ae", "mnist_vae", "mnist_vq"))
"""The bundles' variants, and the score that their settings were chosen with."""

Figures = Mapping[str, Any]


class Beside(NamedTuple):
    """The best baseline: its name, its value, and (value, low end, high end) of the paired lead over it."""

    name: str
    value: float
    lead: Sequence[float]


class Line(NamedTuple):
    """What a model has of a measure, and what was aimed for, if anything."""

    task: str
    measure: str
    goal: float | None
    model: str
    reached: float
    shown: str
    trainings: str
    beside: Beside | None = None


def overview(volumes: Figures, spines: Figures, digits: Figures) -> list[str]:
    """Return the lines of the table of the three benchmarks' figures, each empty where it was not run."""
    head = ["task", "measure", "goal", "model", "measured", "trainings: mean ± sd", "best baseline", "lead over it"]
    lines = [line for found in (_volumes(volumes), _spines(spines), _digits(digits)) for line in found]
    return [
        "Of the baselines measured beside a model the best by the measure is named, with the paired lead over it:",
        "beyond doubt where its interval is above zero. *Measured* and lead are of the first training alone; a goal is",
        "reached by the mean of all, whose spread says how far one may fall behind.",
        "",
        *table(head, [_cells(line) for line in lines]),
        "",
    ]


def _cells(line: Line) -> list[str]:
    goal = "" if line.goal is None else f"{line.goal:.2f} {_verdict(line.reached, line.goal)}"
    beside = ["", ""]
    if line.beside is not None:
        beside = [f"{line.beside.name} {line.beside.value:.3f}", interval(line.beside.lead, "+")]
    return [line.task, line.measure, goal, line.model, line.shown, line.trainings, *beside]


def _verdict(reached: float, goal: float) -> str:
    return "reached" if reached >= goal else f"**missed by {goal - reached:.3f}**"


def _volumes(figures: Figures) -> Iterator[Line]:
    for task, found in figures.items():
        for part, cases in found["cases"].items():
            yield from _volume_part(task, found, part, f"{TITLES[task]}, {cases['abnormal']} of them")


def _volume_part(task: str, found: Figures, part: str, title: str) -> Iterator[Line]:
    """Yield the lines of one part of a task's figures; goals are of its held-out fold as it is."""
    rows = {row["row"]: row for row in found["rows"] if part in row["by_seed"][0]}
    if DEFAULT[task].name not in rows:
        return
    default = rows[DEFAULT[task].name]
    for measure, least in GOALS[task]:
        values = {name: row["by_seed"][0][part][measure][0] for name, row in rows.items()}
        known = {row.name for row in baseline_rows(task)} & set(rows)
        beside = None
        if known:
            best = max(known, key=values.__getitem__)
            beside = Beside(best, values[best], rows[best]["default_minus_it"][part][measure])
        mine = [one[part][measure][0] for one in default["by_seed"]]
        shown, goal = interval(default["by_seed"][0][part][measure]), least if part == "all" else None
        yield Line(title, MEASURES[measure], goal, default["row"], mean(mine), shown, _trainings(mine), beside)


def _spines(figures: Figures) -> Iterator[Line]:
    for part, title in SPINES.items():
        rows = figures.get(part, {}).get("rows", {})
        if SHIPPED not in rows:
            continue
        others = [name for name in rows if name != SHIPPED]
        for group, least in SPINE_GOALS.items():
            values = {name: row["groups"][group][WITHIN] for name, row in rows.items()}
            beside = None
            if others:
                best = max(others, key=lambda name: values[name][0])
                beside = Beside(best, values[best][0], rows[SHIPPED]["leads"][best][group][WITHIN])
            yield Line(
                title, f"AUROC within levels, {group}", None if part == "real" else least, SHIPPED,
                values[SHIPPED][0], interval(values[SHIPPED]), "one a fold", beside,
            )  # fmt: skip


def _digits(figures: Figures) -> Iterator[Line]:
    rows = figures.get("rows", [])
    for bundle, variant, score in DIGITS:
        own = [row for row in rows if (row["bundle"], row["variant"]) == (bundle, variant)]
        seeds = sorted({row["seed"] for row in own})
        values = [mean(row[f"auroc_{score}"] for row in own if row["seed"] == seed) for seed in seeds]
        if values:
            value = mean(values)
            yield Line(
                "One digit of MNIST as the normal class", "AUROC, mean of the ten", DIGITS_GOAL,
                f"{bundle} {variant}, {score}", value, f"{value:.3f}", _trainings(values),
            )  # fmt: skip


def _trainings(values: Sequence[float]) -> str:
    return f"{len(values)}: {mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{len(values)}"
