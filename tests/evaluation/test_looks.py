"""Every evaluation of hold-out cases leaves a record, by the weights that looked."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fracture_vae.cohort.looks import looks_path, read_looks
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.evaluation.evaluate import Evaluation
from fracture_vae.evaluation.evaluate import evaluate as evaluate_with_intervals

evaluate = partial(evaluate_with_intervals, resamples=200)


def test_hold_out_cases_leave_a_record_and_the_second_time_says_so(
    cli: Callable[..., Any], made_maps: Callable[..., Path], made_study: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_study.parent, tmp_path / "study")
    table = tmp_path / "study" / "cohort.csv"
    folder = made_maps(tmp_path / "all", kept=lambda _: True)
    rows = (folder / "scores.csv").read_text(encoding="utf-8").replace(str(made_study.parent), str(table.parent))
    (folder / "scores.csv").write_text(rows, encoding="utf-8")
    first = cli("evaluate", folder, "--cohort", table)
    assert first.exit_code == 0, first.stderr
    assert "first look at this hold-out" in first.stdout
    assert "4 of the cases are of the hold-out, 20 are not" in first.stdout
    second = cli("evaluate", folder, "--cohort", table, "--out", tmp_path / "again")
    assert "look 2 at this hold-out, with weights that have looked before (1 model in all)" in second.stdout
    assert "4 of 24 cases evaluated; 4 cases, model file:0123456" in second.stdout
    assert [look.what for look in read_looks(table)] == ["evaluate", "evaluate"]
    assert json.loads((tmp_path / "again" / "evaluation.json").read_text(encoding="utf-8"))["seed"] == 0


def test_a_look_names_the_weights_that_made_the_maps(
    made_maps: Callable[..., Path], made_study: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_study.parent, tmp_path / "study")
    table = tmp_path / "study" / "cohort.csv"
    folders = [made_maps(tmp_path / name, kept=lambda case: case.fold == "test") for name in ("mine", "theirs")]
    for folder, weights in zip(folders, (["b" * 64, "c" * 64], ["a" * 64]), strict=True):
        rows = (folder / "scores.csv").read_text(encoding="utf-8").replace(str(made_study.parent), str(table.parent))
        (folder / "scores.csv").write_text(rows, encoding="utf-8")
        for case in read_cohort(table).holdout():
            said = {"model": {"sha256": "0123456789ab" + "0" * 52, "weights": weights}}
            (folder / f"{case.case_id}.json").write_text(json.dumps(said), encoding="utf-8")
    evaluate(folders[0], table, against=[folders[1]], resamples=10)
    (look,) = read_looks(table)
    assert look.model == " ".join(letter * 64 for letter in "abc")


def test_without_hold_out_cases_there_is_no_record(found: Evaluation, made_study: Path) -> None:
    assert not looks_path(made_study).exists()


def test_a_look_at_maps_that_do_not_name_their_weights_is_nobody_s_first(
    made_maps: Callable[..., Path], made_study: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_study.parent, tmp_path / "study")
    table = tmp_path / "study" / "cohort.csv"
    folder = made_maps(tmp_path / "maps", kept=lambda case: case.fold == "test")
    rows = (folder / "scores.csv").read_text(encoding="utf-8").replace(str(made_study.parent), str(table.parent))
    (folder / "scores.csv").write_text(rows, encoding="utf-8")
    held = read_cohort(table).holdout()
    for case in held:
        said = {"model": {"weights": ["a" * 64]}}
        (folder / f"{case.case_id}.json").write_text(json.dumps(said), encoding="utf-8")
    evaluate(folder, table, resamples=10)
    for case in held:
        (folder / f"{case.case_id}.json").unlink()
    assert "by weights that nothing names" in "\n".join(evaluate(folder, table, resamples=10).notes)
