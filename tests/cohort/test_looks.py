"""Looks at a hold-out leave a dated line, and a second one is told as such."""

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from fracture_vae.cohort.looks import looks_path, read_looks, record_look
from fracture_vae.errors import InputError


def look(table: Path, model: str = "a" * 64, **given: Any) -> str:
    return record_look(
        table, "infer", "split test", ["p1", "p1", "p2"], model=model, config="c", output="maps", **given
    )


def test_a_look_is_a_dated_line_beside_the_table(tmp_path: Path) -> None:
    told = look(tmp_path / "study.csv")
    assert told == "hold-out: first look at this hold-out; recorded in study.holdout_looks.jsonl"
    line = json.loads((tmp_path / "study.holdout_looks.jsonl").read_text(encoding="utf-8"))
    age = datetime.now(timezone.utc) - datetime.fromisoformat(line["date"])
    assert abs(age.total_seconds()) < 60
    assert (line["what"], line["asked"], line["cases"], line["patients"]) == ("infer", "split test", 3, 2)
    assert (line["model"], line["config"]) == ("a" * 64, "c")
    assert line["output"] == os.path.abspath("maps")  # noqa: PTH100


def test_a_second_look_says_so_and_what_came_before(tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    look(table)
    again = look(table)
    assert again.startswith(
        "hold-out: look 2 at this hold-out, with weights that have looked before (1 model in all); recorded in"
    )
    third = look(table, model="b" * 64)
    assert third.startswith("hold-out: look 3 at this hold-out, the first with these weights (2 models in all);")
    first = read_looks(table)[0]
    assert f"before: {first.date} infer (split test; 3 cases, model aaaaaaaaaaaa) | " in third
    assert len(read_looks(table)) == 3


def test_each_of_several_models_has_looked_alone_or_among_others(tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    a, b, c = (letter * 64 for letter in "abc")
    look(table, model=f"{a} {b}")
    assert "with weights that have looked before (2 models in all)" in look(table, model=b)
    assert "with weights that have looked before (3 models in all)" in look(table, model=f"{c} {a}")
    assert "the first with these weights (4 models in all)" in look(table, model="d" * 64)
    assert "3 cases, model aaaaaaaaaaaa and 1 more)" in look(table)
    assert "by weights that nothing names (4 models in all)" in look(table, model="")


def test_no_hold_out_case_is_no_look(tmp_path: Path) -> None:
    assert record_look(tmp_path / "c.csv", "infer", "all", [], model="", config="", output="maps") == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_read_only_folder_refuses(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        refused(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_where_nothing_can_be_recorded_it_refuses_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fracture_vae.cohort.looks.os.open", read_only)
    refused(tmp_path)
    told = look(tmp_path / "cohort.csv", unrecorded=True)
    assert told == "hold-out: UNRECORDED look, cohort.holdout_looks.jsonl cannot be written"
    assert "cannot be recorded (Permission denied); it is looked at all the same" in caplog.text


def refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"infer \(split test; 3 cases, model aaaaaaaaaaaa\)\) cannot be recorded"):
        look(folder / "cohort.csv")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", ["", "no json\n", "[]\n", '{"date": "2026"}\n', "{}\n", '{"date": 1}\n', "\xff"])
def test_a_damaged_record_is_never_taken_for_none(tmp_path: Path, content: str) -> None:
    table = tmp_path / "cohort.csv"
    looks_path(table).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match="not a record of looks at a hold-out, or damaged; restore it"):
        look(table)
    assert looks_path(table).read_bytes() == content.encode("latin-1")


def test_a_last_line_whose_end_an_editor_took_stays_a_line(tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    look(table)
    looks_path(table).write_bytes(looks_path(table).read_bytes().rstrip())
    assert look(table).startswith("hold-out: look 2")
    assert look(table).startswith("hold-out: look 3")
    assert len(read_looks(table)) == 3
