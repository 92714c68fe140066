"""The table of case scores: which p-values are looked at together."""

from pathlib import Path
from typing import Any

import pytest

from fracture_vae.maps.table import ScoreTable, read_scores


def row(case: str, p: float, patient: str = "a", model: str = "m1") -> dict[str, Any]:
    return {"case_id": case, "patient_id": patient, "model": model, "score": 1, "p_case": p}


def q_values(path: Path, *added: dict[str, Any]) -> dict[str, float]:
    """What the table says once the rows are added, an inference a call."""
    table = ScoreTable(path)
    for place, own in enumerate(added):
        table.add(place, own)
    table.save()
    return {own["case_id"]: float(own["q_value"]) for own in read_scores(path)}


def test_a_patient_s_cases_are_looked_at_together_those_of_each_model_by_themselves(tmp_path: Path) -> None:
    first = q_values(tmp_path / "scores.csv", row("a1", 0.01), row("a2", 0.5), row("b1", 0.01, patient="b"))
    assert first == pytest.approx({"a1": 0.02, "a2": 0.5, "b1": 0.01})
    later = q_values(tmp_path / "scores.csv", row("a3", 0.02, model="m2"), row("a4", 0.9, model="m2"))
    assert later == pytest.approx({**first, "a3": 0.04, "a4": 0.9}), "ranked among other healthy cases"


def test_cases_without_a_patient_are_each_by_themselves(tmp_path: Path) -> None:
    found = q_values(tmp_path / "scores.csv", row("x", 0.01, patient=""), row("y", 0.5, patient=""))
    assert found == pytest.approx({"x": 0.01, "y": 0.5})
