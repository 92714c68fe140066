"""The overview names the best baseline, its paired lead, and what of the goals was reached."""

from typing import Any

from tools.benchmarks.detection_overview import WITHIN, overview


def volume_row(name: str, auroc: float, lead: list[float] | None = None) -> dict[str, Any]:
    by_seed = [{"all": {"auroc": [auroc + shift, 0.5, 1.0]}} for shift in (0.0, 0.02)]
    return {"row": name, "by_seed": by_seed, **({"default_minus_it": {"all": {"auroc": lead}}} if lead else {})}


def test_the_best_baseline_is_named_with_the_lead_over_it() -> None:
    rows = [volume_row("pca", 0.7, [0.1, 0.0, 0.2]), volume_row("template", 0.6, [0.2, 0.1, 0.3])]
    others = [volume_row("discriminative, head", 0.95, [-0.1, -0.2, 0.0]), volume_row("default, flips", 0.88)]
    (line,) = overview({"vessel": {"cases": {"all": {"abnormal": 3}}, "rows": rows + others}}, {}, {})[6:-1]
    assert line.endswith("| 0.880 [0.500, 1.000] | 2: 0.890 ± 0.014 | pca 0.700 | +0.100 [+0.000, +0.200] |")
    assert "aneurysms among brain vessel segments, 3 of them |" in line
    assert "| 0.90 **missed by 0.010** | default, flips |" in line


def test_more_abnormal_cases_have_a_line_and_no_goal() -> None:
    rows = [volume_row("pca", 0.7, [0.1, 0.0, 0.2]), volume_row("default, flips", 0.8), volume_row("template", 0.99)]
    for own in rows[:2]:
        own["by_seed"] = [{**seed, "wider": {"auroc": [0.9, 0.8, 1.0]}} for seed in own["by_seed"]]
    rows[0]["default_minus_it"]["wider"] = {"auroc": [0.3, 0.2, 0.4]}
    rows[2]["default_minus_it"] = {"all": {"auroc": [-0.1, -0.2, 0.0]}}
    cases = {"all": {"abnormal": 3}, "wider": {"abnormal": 8}}
    own, wider = overview({"vessel": {"cases": cases, "rows": rows}}, {}, {})[6:-1]
    assert "| 0.90 **missed by 0.090** |" in own
    assert ", 8 of them | case AUROC |  | default, flips | 0.900 [0.800, 1.000]" in wider
    assert wider.endswith("| pca 0.900 | +0.300 [+0.200, +0.400] |"), "a row without it is left out"


def test_a_goal_of_spines_is_one_grade_and_real_ones_have_none() -> None:
    def row(value: float, **leads: Any) -> dict[str, Any]:
        groups = {f"grade {grade}": {WITHIN: [value, 0.0, 1.0]} for grade in (1, 2, 3)}
        return {"groups": groups, "leads": leads}

    lead = {f"grade {grade}": {WITHIN: [0.2, 0.1, 0.3]} for grade in (1, 2, 3)}
    part = {"rows": {"default": row(0.8, pca=lead), "pca": row(0.6)}}
    lines = overview({}, {"study": part, "real": part}, {})[6:-1]
    assert [line.split(" | ")[2] for line in lines] == [
        "0.70 reached", "0.85 **missed by 0.050**", "0.85 **missed by 0.050**", "", "", "",
    ]  # fmt: skip
    assert all(line.endswith("| pca 0.600 | +0.200 [+0.100, +0.300] |") for line in lines)


def test_digits_are_averaged_before_seeds_are_compared() -> None:
    rows = [
        {"bundle": "mnist_ae", "variant": "one_class", "seed": seed, "normal": digit, "auroc_both": value}
        for seed, digit, value in [(0, 0, 0.9), (0, 1, 1.0), (1, 0, 0.94), (1, 1, 1.0)]
    ]
    rows.append({**rows[0], "variant": None, "auroc_both": 0.1})
    (line,) = overview({}, {}, {"rows": rows})[6:-1]
    assert "| 0.97 **missed by 0.010** | mnist_ae one_class, both | 0.960 | 2: 0.960 ± 0.014 |" in line
