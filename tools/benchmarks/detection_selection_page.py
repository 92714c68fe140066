"""How the default's head came to learn as it does, as a page: candidates on what chooses, which no other page shows."""

from collections.abc import Mapping
from statistics import mean
from typing import Any

from tools.benchmarks.detection_page import MEASURES, TITLES
from tools.benchmarks.pages import interval, spread, table

SPINES, DENOISING = "spines", "denoising, "
_BEFORE: Mapping[str, str] = {"hippocampus": "AdamW 0.003", "vessel": "AdamW 0.003", SPINES: "AdamW 0.002"}
WITHIN = "within_level_auroc"
_SPINES = {WITHIN: "AUROC within levels", "voxel_average_precision": "voxel AP"}


def before(task: str, candidate: str = "") -> str:
    """Return what was in the place of ``candidate`` when it was tried, with which it is compared."""
    return (DENOISING if candidate.startswith(DENOISING) else "") + _BEFORE[task]


def page(figures: Mapping[str, Any]) -> str:
    """Return the page of the JSON that ``tools.benchmarks.detection_selection`` wrote."""
    lines = [
        "# How the default's head learns: what was tried",
        "",
        "Written by `python -m tools.benchmarks.detection_selection`; do not edit. Candidates differ in the optimizer",
        "and its rate; *difference* is a head that sees the image, a VQ-VAE's reconstruction and their difference, not",
        "the image alone, which about doubles what an epoch takes; *twice as long* is twice the epochs. *Denoising* is",
        "not ours but the strongest baseline, which may learn as well as it can, too.",
        "All else is as in [what detects](results.md). Hippocampus and vessel are looked at on another fold, and with",
        "other anomalies, than that page shows; the synthetic study on its own folds. Brackets hold 95 % intervals",
        "over patients, of the first training; *lead* is over the first row of its kind, paired on the same patients.",
        "",
    ]
    for task, found in figures.items():
        of_task = _spines if task == SPINES else _crops
        lines += [f"## {TITLES.get(task, 'Synthetic spines, out of fold')}", "", *of_task(task, found["candidates"])]
        lines += ["", f"{found['machine']['cpu']}.", ""]
    return "\n".join(lines)


def _crops(task: str, candidates: Mapping[str, Any]) -> list[str]:
    first = candidates[before(task)]["by_seed"][0]
    shown = [name for name in MEASURES if name in first["all"]]
    body = []
    for candidate in _ordered(task, candidates):
        found = candidates[candidate]
        by_seed, cells = found["by_seed"], [candidate]
        for name in shown:
            values = [one["all"][name][0] for one in by_seed]
            lead = interval(found["lead"][name], "+") if "lead" in found else ""
            cells += [interval(by_seed[0]["all"][name]), spread(values), lead]
        body.append([*cells, f"{mean(one['cpu_seconds'] for one in by_seed):.0f}"])
    heads = [words for name in shown for words in (MEASURES[name], "mean ± sd of trainings (n)", "lead")]
    cases = f"{first['cases']['normal']} normal and {first['cases']['abnormal']} abnormal cases."
    return [cases, "", *table(["candidate", *heads, "training, s"], body)]


def _spines(task: str, candidates: Mapping[str, Any]) -> list[str]:
    first = candidates[before(task)]
    about = first["about"]
    groups = [group for group in first["groups"] if group == "all" or group.startswith("grade")]
    names = _ordered(task, candidates)
    lines = [f"{about['normal']} whole and {about['abnormal']} broken vertebrae of {about['patients']} patients.", ""]
    for measure, words in _SPINES.items():
        body = [[name, *(interval(candidates[name]["groups"][group][measure]) for group in groups)] for name in names]
        lines += [*table([words, *groups], body), ""]
    leads = {name: candidates[name]["leads"][before(task)] for name in names[1:]}
    body = [[name, *(interval(lead[group][WITHIN], "+") for group in groups)] for name, lead in leads.items()]
    return [*lines, *table(["lead within levels", *groups], body)]


def _ordered(task: str, candidates: Mapping[str, Any]) -> list[str]:
    """Return candidates kind by kind, that which was before first."""
    return sorted(candidates, key=lambda name: (name.startswith(DENOISING), name != before(task, name), name))
