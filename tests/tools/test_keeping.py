"""What a stopped benchmark finds again, and what it makes anew."""

from pathlib import Path

import pytest

from fracture_vae.evaluation.resampling import Estimate
from tools.benchmarks.detection_spines_page import CALIBRATED, page
from tools.benchmarks.keeping import Keeper, rounded


def test_a_thing_is_made_once_for_each_setting(tmp_path: Path) -> None:
    keeper, made = Keeper(tmp_path), []

    def make() -> dict[str, int]:
        made.append(1)
        return {"number": len(made)}

    assert [keeper.kept("models", "a b", {"epochs": 3}, make)["number"] for _ in range(2)] == [1, 1]
    assert keeper.kept("models", "a b", {"epochs": 4}, make) == {"number": 2}
    assert keeper.place("models", "a b", {"epochs": 3}) != keeper.place("models", "a b", {"epochs": 4})


def test_what_failed_is_made_again(tmp_path: Path) -> None:
    def fail() -> dict[str, int]:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        Keeper(tmp_path).kept("models", "a", {}, fail)
    assert Keeper(tmp_path).kept("models", "a", {}, lambda: {"number": 1}) == {"number": 1}


def test_figures_are_those_asked_for_to_four_decimals() -> None:
    found = {"auroc": Estimate(0.123456, 0.1, 0.2), "dice": Estimate(1, 1, 1)}
    assert rounded(found, ["auroc", "aupro"]) == {"auroc": [0.1235, 0.1, 0.2]}


@pytest.mark.parametrize(("patients", "told"), [(3, True), (5, False)])
def test_intervals_over_few_patients_are_said_to_be_too_narrow(patients: int, told: bool) -> None:
    groups = {"all": {"abnormal": 2, "auroc": [0.8, 0.5, 1.0], "level_alone_auroc": [0.5, 0.5, 0.5]}}
    part = {"normal": 4, "abnormal": 2, "patients": patients, "rows": {"pca": {"cpu_seconds": 1, "groups": groups}}}
    assert (
        "intervals are too narrow" in page({"machine": {"cpu": "one"}, "seed": 0, "about": {}, "real": part})
    ) == told


def test_what_flags_are_worth_stands_with_the_new_patients() -> None:
    groups = {"all": {"abnormal": 2, "auroc": [0.8, 0.5, 1.0], "within_level_auroc": [0.7, 0.5, 0.9]}}
    part = {"normal": 4, "abnormal": 2, "patients": 6, "rows": {"pca": {"cpu_seconds": 1, "groups": groups}}}
    rates = {name: [place / 10, 0.0, 1.0] for place, name in enumerate(CALIBRATED)}
    told = page(
        {
            "machine": {"cpu": "one"},
            "seed": 0,
            "about": {},
            "fresh": {**part, "alpha": 0.05, "calibrated": {"pca": rates}},
        }
    )
    assert "## New patients: another study" in told
    assert "for at most 5% false alarms" in told
    cells = [f"{place / 10:.3f} [0.000, 1.000]" for place in range(len(CALIBRATED))]
    assert f"| pca | {' | '.join(cells)} |" in told
    assert "Calibrated" not in page({"machine": {"cpu": "one"}, "seed": 0, "about": {}, "study": part})
