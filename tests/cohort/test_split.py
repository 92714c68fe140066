"""Folds and hold-out are by patient, alike, and kept once they are there."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.holdout import lock_path, read_lock
from fracture_vae.cohort.manifest import Case, read_cohort
from fracture_vae.cohort.split import assign_folds, draw_holdout, holdout_size, split_table
from fracture_vae.errors import InputError


def patients(count: int, per_patient: int = 3) -> list[Case]:
    return [
        Case(case_id=f"{p}-{n}", patient_id=f"p{p}", image=Path(f"{p}-{n}"), label=int(n == 2), row=2)
        for p in range(count)
        for n in range(per_patient)
    ]


def study(folder: Path, count: int = 8, folds: dict[int, str] | None = None) -> Path:
    """A table of ``count`` patients with a normal L1 and a fractured L2 each, and a column of its own."""
    lines = ["case_id,patient_id,level,label,fold,image,note"]
    for p in range(count):
        for n, level in enumerate(("L1", "L2")):
            array = np.full((2, 2, 2), p, dtype=np.float32)
            array[0, 0, 0] = 100 + n
            np.save(folder / f"{p}{level}.npy", array)
            lines.append(f'{p}{level},P{p},{level},{n},{(folds or {}).get(p, "")},{p}{level}.npy,"a, b{p}"')
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


def folds(table: Path) -> dict[str, str]:
    return {case.patient_id: case.fold for case in read_cohort(table).cases}


@settings(deadline=None)
@given(count=st.integers(2, 23), k=st.integers(2, 6), seed=st.integers(0, 9), order=st.randoms())
def test_folds_are_whole_patients_even_and_independent_of_row_order(count, k, seed, order):
    cases = patients(count)
    if count < k:
        with pytest.raises(InputError, match="cannot fill"):
            assign_folds(cases, k, seed)
        return
    dealt = {case.case_id: case.fold for case in assign_folds(cases, k, seed)}
    by_patient: dict[str, set[str]] = {}
    for case_id, fold in dealt.items():
        by_patient.setdefault(case_id.split("-")[0], set()).add(fold)
    assert all(len(own) == 1 for own in by_patient.values())
    sizes = [sum(own == {str(number)} for own in by_patient.values()) for number in range(1, k + 1)]
    assert max(sizes) - min(sizes) <= 1
    order.shuffle(cases)
    assert {case.case_id: case.fold for case in assign_folds(cases, k, seed)} == dealt


def test_folds_already_given_stay_and_the_holdout_is_left_alone():
    cases = patients(6)
    cases[0] = replace(cases[0], fold="2")
    cases[3] = replace(cases[3], fold="test")
    dealt = assign_folds(cases, 2)
    assert {case.fold for case in dealt if case.patient_id == "p0"} == {"2"}
    assert {case.fold for case in dealt if case.patient_id == "p1"} == {"test"}
    assert {case.fold for case in dealt if case.patient_id in ("p2", "p3", "p4", "p5")} == {"1", "2"}


def test_a_fold_above_k_is_told():
    cases = patients(4)
    cases[0] = replace(cases[0], fold="7")
    with pytest.raises(InputError, match="row 2: fold 7 is above the k=2 folds asked for"):
        assign_folds(cases, 2)


def test_a_table_whose_patients_all_have_folds_is_left_as_it_is():
    cases = [replace(case, fold=str(1 + int(case.patient_id[1:]) % 3)) for case in patients(6)]
    assert assign_folds(cases, 5) == cases


@settings(deadline=None, max_examples=30)
@given(count=st.integers(4, 20), held=st.integers(0, 20), order=st.randoms())
def test_a_holdout_has_the_size_asked_for(count, held, order):
    cases = patients(count)
    if count - held < 2:
        with pytest.raises(InputError, match="hold-out of"):
            draw_holdout(cases, held, 2)
        return
    drawn = {case.patient_id for case in draw_holdout(cases, held, 2) if case.fold == "test"}
    assert len(drawn) == held
    order.shuffle(cases)
    assert {case.patient_id for case in draw_holdout(cases, held, 2) if case.fold == "test"} == drawn


def test_the_holdout_leaves_every_fold_a_patient_with_a_normal():
    cases = [case for case in patients(10) if int(case.patient_id[1:]) < 3 or case.label == 1]
    held = {case.patient_id for case in draw_holdout(cases, 5, 3) if case.fold == "test"}
    assert not held & {"p0", "p1", "p2"}


@pytest.mark.parametrize(("text", "size"), [("8", 8), ("0", 0), ("0.2", 8), (".5", 19), ("0.001", 1)])
def test_a_holdout_is_a_number_or_a_share(text, size):
    assert holdout_size(text, 38) == size


@pytest.mark.parametrize("text", ["1.5", "1.0", "0.0", "-1", "-0.2", "a", "", "20%", "nan", "٣"])
def test_a_holdout_that_is_neither_is_told(text):
    with pytest.raises(InputError, match="give a number of patients, such as 8, or a share above 0"):
        holdout_size(text, 38)


def test_a_split_keeps_every_other_column_and_locks_the_holdout(tmp_path):
    table = study(tmp_path)
    split_table(table, folds=3, holdout="2")
    assert sorted(Counter(folds(table).values()).values()) == [2, 2, 2, 2]
    assert {case.extra["note"] for case in read_cohort(table).cases} == {f"a, b{p}" for p in range(8)}
    lock = read_lock(table)
    assert lock is not None
    assert len(lock.patients) == 2
    assert "P0" not in lock_path(table).read_text()


def test_folds_that_are_there_stay_and_only_others_are_placed(tmp_path):
    given = {0: "2", 1: "2", 5: "1", 7: "test"}
    table = study(tmp_path, folds=given)
    split_table(table, folds=3)
    told = folds(table)
    assert {p: told[f"P{p}"] for p in given} == given
    assert Counter(told.values())["test"] == 1, "no hold-out is drawn that was not asked for"
    assert read_lock(table) is not None, "the one that is there is locked"
    once = table.read_bytes()
    split_table(table, folds=3)
    assert table.read_bytes() == once


def test_reassigning_starts_over_but_for_a_locked_holdout(tmp_path):
    table = study(tmp_path)
    split_table(table, folds=2, holdout="2", seed=0)
    held = {name for name, fold in folds(table).items() if fold == "test"}
    split_table(table, folds=3, holdout="2", seed=5, reassign=True)
    assert {name for name, fold in folds(table).items() if fold == "test"} == held
    assert set(folds(table).values()) == {"1", "2", "3", "test"}
    with pytest.raises(InputError, match="locked with 2 patients, not 3"):
        split_table(table, folds=3, holdout="3", reassign=True)


def test_a_holdout_not_locked_is_drawn_anew_when_asked(tmp_path):
    table = study(tmp_path, folds={0: "test", 1: "test", 2: "test"})
    split_table(table, folds=2, holdout="2", reassign=True)
    assert list(folds(table).values()).count("test") == 2


def test_another_table_can_be_written_and_takes_the_lock_along(tmp_path):
    table = study(tmp_path)
    split_table(table, folds=2, holdout="2")
    before = table.read_bytes()
    split_table(table, folds=3, reassign=True, out=tmp_path / "other" / "new.csv")
    assert table.read_bytes() == before
    new = tmp_path / "other" / "new.csv"
    assert set(folds(new).values()) == {"1", "2", "3", "test"}
    assert read_lock(new).patients == read_lock(table).patients  # type: ignore[union-attr]
    with pytest.raises(InputError, match="is there already"):
        split_table(table, out=new)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--folds", "9"], "8 patients with normal cases cannot fill k=9"),
        (["--folds", "1"], "1 is not in the range x>=2"),
        (["--holdout", "9"], "a hold-out of 9 needs 9 patients without a fold; there are 8"),
        (["--holdout", "5"], "a hold-out of 5 of 8 patients leaves fewer than 5"),
        (["--holdout", "1.5"], "hold-out '1.5': give a number"),
        (["--holdout=-1"], "hold-out '-1': give a number"),
        (["--seed", "-1"], "-1 is not in the range x>=0"),
        (["--folds-file", "none.csv"], "none.csv: cannot be read"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_and_nothing_is_written(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    table = study(tmp_path)
    before = table.read_bytes()
    monkeypatch.chdir(tmp_path)
    result = cli("cohort", "split", table, *arguments)
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert said in errors[0]
    assert table.read_bytes() == before
    assert not lock_path(table).exists()


def test_an_unreadable_holdout_image_is_told_before_anything_is_written(tmp_path):
    table = study(tmp_path, folds={0: "test"})
    (tmp_path / "0L1.npy").write_bytes(b"no image")
    before = table.read_bytes()
    with pytest.raises(InputError, match=r"0L1\.npy"):
        split_table(table, folds=2)
    assert table.read_bytes() == before


def test_two_spellings_of_one_patient_are_not_split(tmp_path):
    table = study(tmp_path)
    table.write_text(table.read_text().replace("3L2,P3,", "3L2,p3,"))
    with pytest.raises(InputError, match="rows 8, 9 spell one patient_id in 2 ways"):
        split_table(table, folds=2)


def test_two_patients_of_one_scan_are_not_put_in_two_folds(tmp_path):
    table = study(tmp_path, count=2)
    lines = table.read_text().splitlines()
    scans = ["source_image", *["ct.nii.gz"] * (len(lines) - 1)]
    table.write_text("\n".join(f"{line},{scan}" for line, scan in zip(lines, scans, strict=True)) + "\n")
    with pytest.raises(InputError, match=r"in folds 1 and 2 were cropped from one scan \(ct\.nii\.gz\)"):
        split_table(table, folds=2)


def test_the_command_prints_what_each_fold_holds(cli: Callable[..., Any], tmp_path: Path) -> None:
    result = cli("cohort", "split", study(tmp_path), "--folds", 3, "--holdout", 2)
    assert result.exit_code == 0, result.stderr
    lines = [line.split("  ") for line in result.stdout.splitlines()]
    assert [part.strip() for part in lines[1] if part.strip()] == ["L1", "2 / 0", "2 / 0", "2 / 0", "2 / 0", "8 / 0"]
    assert "the level has an AUROC of 1.00" in result.stdout, "L1 is always normal here, L2 never"
