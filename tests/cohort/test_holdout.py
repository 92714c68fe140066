"""A locked hold-out cannot drift: a patient moved, an image changed, gone or added is told with its rows."""

import json
from pathlib import Path

import numpy as np
import pytest

from fracture_vae.cohort.check import check_table
from fracture_vae.cohort.holdout import lock_path, read_lock
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.cohort.split import split_table
from fracture_vae.errors import InputError

ROWS = ("a1,A,1", "a2,A,1", "b1,B,2", "b2,B,2", "t1,Tom,test", "t2,Tom,test", "u1,Una,test")


def image(path: Path, seed: int) -> None:
    np.save(path, np.random.default_rng(seed).random((4, 4, 4), dtype=np.float32))


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """Folds A and B; Tom (rows 6, 7) and Una (row 8) are the hold-out, locked."""
    lines = ["case_id,patient_id,fold,label,image"]
    for number, row in enumerate(ROWS):
        name = row.split(",")[0]
        image(tmp_path / f"{name}.npy", number)
        lines.append(f"{row},0,{name}.npy")
    (tmp_path / "cohort.csv").write_text("\n".join(lines) + "\n")
    split_table(tmp_path / "cohort.csv")
    return tmp_path / "cohort.csv"


def edit(table: Path, old: str, new: str) -> None:
    text = table.read_text()
    assert text.count(old) == 1
    table.write_text(text.replace(old, new))


def problems(table: Path) -> tuple[str, ...]:
    return check_table(table).problems


def test_the_lock_says_who_and_when_without_naming_anyone(locked: Path) -> None:
    text = lock_path(locked).read_text()
    assert lock_path(locked).name == "cohort.holdout.json"
    assert "Tom" not in text
    assert "Una" not in text
    content = json.loads(text)
    assert sorted(len(hashes) for hashes in content["patients"].values()) == [1, 2]
    assert content.keys() >= {"locked", "seed", "version"}
    assert problems(locked) == ()


@pytest.mark.parametrize(("fold", "told"), [("1", "fold 1"), ("", "no fold")])
def test_a_patient_moved_out_is_told_by_every_reader(locked: Path, fold: str, told: str) -> None:
    edit(locked, "u1,Una,,0,test", f"u1,Una,,0,{fold}")
    said = f"row 8 put locked hold-out patient 'Una' in {told}"
    assert [p.split(";")[0] for p in problems(locked)] == [said]
    for reader in (read_cohort, split_table):
        with pytest.raises(InputError, match=said):
            reader(locked)


def test_a_patient_renamed_in_spelling_only_is_still_locked(locked: Path) -> None:
    edit(locked, "u1,Una,,0,test", "u1,U NA,,0,1")
    with pytest.raises(InputError, match="row 8 put locked hold-out patient 'U NA' in fold 1"):
        read_cohort(locked)


def test_a_patient_gone_is_told(locked: Path) -> None:
    locked.write_text("\n".join(locked.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match=r"1 patient\(s\) of the locked hold-out have no row any more"):
        read_cohort(locked)
    assert len(problems(locked)) == 1


def test_a_changed_image_is_told_by_check_and_split(locked: Path) -> None:
    image(locked.parent / "t2.npy", 99)
    changed, gone = problems(locked)
    assert changed.startswith("row 7: t2.npy of the locked hold-out was changed")
    assert gone.startswith("rows 6, 7: 1 image(s) of patient 'Tom' in the locked hold-out are not as locked")
    with pytest.raises(InputError, match=r"row 7: t2\.npy"):
        split_table(locked)


def test_a_removed_image_is_told_by_check_and_split(locked: Path) -> None:
    edit(locked, "t2,Tom,,0,test,t2.npy,,,,,,\n", "")
    assert [p.split(" in ")[0] for p in problems(locked)] == ["row 6: 1 image(s) of patient 'Tom'"]
    with pytest.raises(InputError, match=r"row 6: 1 image\(s\) of patient 'Tom'"):
        split_table(locked)


def test_a_patient_added_to_the_holdout_is_told_by_check_and_split(locked: Path) -> None:
    locked.write_text(locked.read_text().replace(",B,,0,2,", ",B,,0,test,"))
    said = "rows 4, 5: patient 'B' was added to the locked hold-out"
    assert [p.split(" and may")[0] for p in problems(locked)] == [said]
    with pytest.raises(InputError, match=said):
        split_table(locked)


def test_an_image_stored_otherwise_is_the_same_image(locked: Path) -> None:
    np.save(locked.parent / "t1.npy", np.load(locked.parent / "t1.npy").astype(np.float64))
    assert problems(locked) == ()


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 9, "patients": {}}'])
def test_a_damaged_lock_is_never_taken_for_none(locked: Path, content: str) -> None:
    lock_path(locked).write_text(content)
    for reader in (read_lock, read_cohort, check_table, split_table):
        with pytest.raises(InputError, match=r"cohort\.holdout\.json"):
            reader(locked)


def test_no_lock_file_and_all_is_as_ever(locked: Path) -> None:
    lock_path(locked).unlink()
    edit(locked, "u1,Una,,0,test", "u1,Una,,0,1")
    assert len(read_cohort(locked).training(2)) == 3
