"""What each fold holds is counted rightly, and the trap of the level is told."""

from pathlib import Path

import pytest

from fracture_vae.cohort.balance import by_level, folds_of, gaps, level_auroc, normals_to_train, summary, table_text
from fracture_vae.cohort.manifest import Case


def case(patient: str, level: str, label: int | None, fold: str = "1") -> Case:
    name = f"{patient}{level}"
    return Case(case_id=name, patient_id=patient, level=level, label=label, fold=fold, image=Path(name))


STUDY = [
    case("A", "L1", 0, "1"),
    case("A", "L2", 1, "1"),
    case("B", "L1", 0, "2"),
    case("B", "L2", 0, "2"),
    case("C", "L1", 1, "10"),
    case("C", "L2", 0, "10"),
    case("D", "L1", 0, "test"),
    case("D", "T12", None, "test"),
    case("E", "L2", 0, ""),
]


def test_normals_to_train_on_are_those_of_the_other_folds() -> None:
    assert folds_of(STUDY) == ["1", "2", "10", "test", ""]
    assert normals_to_train(STUDY) == {"1": 3, "2": 2, "10": 3}


def test_the_table_counts_by_hand() -> None:
    rows = [" ".join(line.split()) for line in table_text(STUDY).splitlines()]
    assert rows == [
        "normal / abnormal fold 1 fold 2 fold 10 hold-out no fold all",
        "T12 0 / 0 0 / 0 0 / 0 0 / 0 0 / 0 0 / 0",
        "L1 1 / 0 1 / 0 0 / 1 1 / 0 0 / 0 3 / 1",
        "L2 0 / 1 1 / 0 1 / 0 0 / 0 1 / 0 3 / 1",
        "all levels 1 / 1 2 / 0 1 / 1 1 / 0 1 / 0 6 / 2",
        "label unknown 0 0 0 1 0 1",
        "patients 1 1 1 1 1 5",
        "normals to train on 3 2 3",
    ]


def test_one_level_and_no_folds_make_a_short_table() -> None:
    rows = [" ".join(line.split()) for line in table_text([case("A", "", 0, "")]).splitlines()]
    assert rows == ["normal / abnormal no fold all", "all levels 1 / 0 1 / 0", "patients 1 1"]


def test_counts_for_programs() -> None:
    assert {"level": "T12", "fold": "test", "normal": 0, "abnormal": 0, "unknown": 1} in by_level(STUDY)
    assert len(by_level(STUDY)) == 3 * 5


def test_gaps_say_whether_another_split_could_close_them() -> None:
    assert gaps(STUDY) == [
        "L1: no normal case in fold 10 (2 patient(s) have one)",
        "L2: no normal case in fold 1 (2 patient(s) have one)",
    ]
    free = [case("A", "L1", 0, "1"), case("B", "L1", 0, "1"), case("C", "L2", 0, "2"), case("A", "L2", 0, "1")]
    assert gaps(free) == [
        "L1: no case in fold 2 (2 patient(s) have one, another split could do)",
        "L1: all normal cases are in fold 1, whose model sees none",
    ]


def test_the_level_only_auroc_by_hand() -> None:
    # Scores without the own patient. L1: A 1/2, B 1/2, C 0/2. L2: A 0/2, B 1/2, C 1/2.
    # Abnormal A-L2 0 and C-L1 0; normal ½ ½ ½ ½: no pair is won.
    assert level_auroc(STUDY[:6]) == 0.0
    apart = [case(p, level, int(level == "L1")) for p in "ABC" for level in ("L1", "L2")]
    assert level_auroc(apart) == 1.0
    alone = [*apart, case("D", "T4", 0)]  # nobody else has T4: the rate of all levels of others, 3/6, ties with none
    assert level_auroc(alone) == 1.0
    tie = [case("A", "L1", 0), case("B", "L1", 1), case("C", "L2", 0), case("D", "L2", 1)]
    # A-L1: 1/1, B-L1: 0/1, C-L2: 1/1, D-L2: 0/1
    assert level_auroc(tie) == 0.0


@pytest.mark.parametrize("cases", [[], [case("A", "L1", 0)], [case("A", "L1", 0), case("B", "L1", 1)]])
def test_where_the_level_says_nothing_there_is_no_auroc(cases: list[Case]) -> None:
    assert level_auroc(cases) is None


def test_the_trap_is_told_where_there_is_one() -> None:
    apart = [case(p, level, int(level == "L1")) for p in "ABC" for level in ("L1", "L2")]
    assert "AUROC of 1.00 (rates leave a patient out): abnormal cases gather" in summary(apart, [])
    assert summary(STUDY[:6], ["a", "b"]).splitlines()[-3:] == [
        "warning: a",
        "warning: b",
        "A classifier that knows nothing but the level has an AUROC of 0.00 (rates leave a patient out).",
    ]
