"""What the page of what was tried says of each candidate, and beside which it stands."""

from typing import Any

import pytest

from tools.benchmarks.detection_selection import trainings
from tools.benchmarks.detection_selection_page import before, page

CASES = {"normal": 5, "abnormal": 3, "patients": 8, "anomalous": 0.0}


def tried(aurocs: list[float], lead: float | None = None) -> dict[str, Any]:
    by_seed = [{"all": {"auroc": [auroc, 0.5, 1.0]}, "cases": CASES, "cpu_seconds": 10.0} for auroc in aurocs]
    return {"by_seed": by_seed} | ({"lead": {"auroc": [lead, -0.1, 0.3]}} if lead is not None else {})


def test_candidates_of_a_kind_stand_below_what_was_before() -> None:
    candidates = {
        "denoising, Muon 0.01": tried([0.62], 0.02),
        "Muon 0.01": tried([0.9, 0.8], 0.1),
        "denoising, AdamW 0.003": tried([0.6]),
        "AdamW 0.003": tried([0.8]),
    }
    shown = page({"vessel": {"machine": {"cpu": "a processor"}, "candidates": candidates}}).splitlines()
    rows = [line for line in shown if line.startswith("| ")][2:]
    assert rows == [
        "| AdamW 0.003 | 0.800 [0.500, 1.000] | 0.800 (1) |  | 10 |",
        "| Muon 0.01 | 0.900 [0.500, 1.000] | 0.850 ± 0.071 (2) | +0.100 [-0.100, +0.300] | 10 |",
        "| denoising, AdamW 0.003 | 0.600 [0.500, 1.000] | 0.600 (1) |  | 10 |",
        "| denoising, Muon 0.01 | 0.620 [0.500, 1.000] | 0.620 (1) | +0.020 [-0.100, +0.300] | 10 |",
    ]
    assert "5 normal and 3 abnormal cases." in shown


def test_spines_are_told_by_grade_and_led_within_levels() -> None:
    groups = {
        name: {"within_level_auroc": [0.9, 0.8, 1.0], "voxel_average_precision": [0.1, 0.0, 0.2]}
        for name in ("all", "grade 1", "type wedge")
    }
    about = {"normal": 5, "abnormal": 3, "patients": 8}
    first = {"about": about, "groups": groups, "leads": {}}
    lead = {name: {"within_level_auroc": [-0.1, -0.2, 0.1]} for name in groups}
    other = {"about": about, "groups": groups, "leads": {"AdamW 0.002": lead}}
    candidates = {"Muon 0.003": other, "AdamW 0.002": first}
    shown = page({"spines": {"machine": {"cpu": "a processor"}, "candidates": candidates}})
    assert "wedge" not in shown
    assert shown.count("| AdamW 0.002 | ") == 2, "it has no lead over itself"
    assert shown.endswith("| Muon 0.003 | -0.100 [-0.200, +0.100] | -0.100 [-0.200, +0.100] |\n\na processor.\n")


@pytest.mark.parametrize("task", ["hippocampus", "vessel"])
def test_what_was_before_is_a_candidate_that_learns_so(task: str) -> None:
    for name in ("Muon 0.01", "difference, Muon 0.01", "denoising, Muon 0.01"):
        base = trainings()[before(task, name)].settings
        assert (base["optimizer"], base["learning_rate"]) == ("AdamW", 0.003)
        assert trainings()[before(task, name)].variant == trainings()[name.replace("difference, ", "")].variant
