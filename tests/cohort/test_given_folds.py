"""Folds a study has already are honoured, whatever file tells them; a contradiction names its row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture_vae.cohort.datalist import to_datalist
from fracture_vae.cohort.manifest import read_cohort
from fracture_vae.cohort.split import split_table
from fracture_vae.errors import InputError

WANTED = {"A": "1", "B": "2", "C": "2", "D": "test"}


def study(folder: Path, folds: str = ",,,,,") -> Path:
    """Patients A (a1, a2), B, C, D (d1), with ``folds`` a row each."""
    lines = ["case_id,patient_id,label,fold,image"]
    for number, (name, fold) in enumerate(zip(["a1", "a2", "b1", "c1", "d1"], folds.split(","), strict=False)):
        np.save(folder / f"img_{name}.npy", np.arange(8, dtype=np.float32).reshape(2, 2, 2) + number)
        lines.append(f"{name},{name[0].upper()},0,{fold},img_{name}.npy")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


FILES: dict[str, Any] = {
    "patients.csv": "patient_id,fold\nA,1\nB,2\nC,02\nD,test\n",
    "cases.csv": "case_id;fold\na1;1\na2;1\nb1;2\nc1;2\nd1;test\n",
    "datalist.json": {
        "training": [
            {"image": "elsewhere/img_a1.nii.gz", "fold": 0},
            {"image": "x", "case_id": "b1", "fold": 1},
            {"patient_id": "C", "fold": 1},
        ],
        "testing": ["img_d1.npy"],
    },
}


@pytest.mark.parametrize("name", FILES)
def test_given_folds_become_the_tables(tmp_path: Path, name: str) -> None:
    table = study(tmp_path)
    split_table(table, folds_file=write(tmp_path / name, FILES[name]))
    assert {case.patient_id: case.fold for case in read_cohort(table).cases} == WANTED


def test_nnunets_splits_are_read_by_their_validation_sets(tmp_path: Path) -> None:
    table = study(tmp_path, ",,,,test")
    splits = [{"train": ["b1", "c1"], "val": ["a1", "a2"]}, {"train": ["a1", "a2"], "val": ["img_b1", "c1"]}]
    split_table(table, folds_file=write(tmp_path / "splits_final.json", splits))
    assert {case.patient_id: case.fold for case in read_cohort(table).cases} == WANTED


def test_a_table_s_own_datalist_gives_its_folds_back(tmp_path: Path) -> None:
    content = to_datalist(read_cohort(study(tmp_path, "1,1,2,2,test")))
    table = study(tmp_path)
    split_table(table, folds_file=write(tmp_path / "list.json", content))
    assert {case.patient_id: case.fold for case in read_cohort(table).cases} == WANTED


CSV = "patient_id,fold\n"
FULL = f"{CSV}A,1\nB,2\nC,2\n"
MISTAKES: dict[str, tuple[str, Any, str]] = {
    "unknown patient": ("f.csv", f"{FULL}Dd,1\n", "f.csv: row 5: patient 'Dd' is not in"),
    "unknown case": ("f.csv", "case_id,fold\na1,1\nb2,1\n", "f.csv: row 3: case 'b2' is not in"),
    "left out": ("f.csv", f"{CSV}A,1\nC,2\n", "f.csv: leaves out patient 'B' of row 4"),
    "two folds": ("f.csv", f"{FULL}A,3\n", "f.csv: row 5 puts patient 'A' in fold 3, row 2 in fold 1"),
    "two folds by case": ("f.csv", "case_id,fold\na1,1\na2,2\n", "row 3 puts patient 'A' in fold 2, row 2 in fold 1"),
    "hold-out in a fold": ("f.csv", f"{FULL}D,1\n", "f.csv: row 5 puts patient 'D' in fold 1, row 6 of"),
    "no fold": ("f.csv", f"{CSV}A,\n", "row 2: fold is ''"),
    "no such fold": ("f.csv", f"{CSV}A,0\n", "row 2: fold is '0'"),
    "no name": ("f.csv", f"{CSV},1\n", "row 2: 'patient_id' is empty"),
    "no column": ("f.csv", "patient,fold\nA,1\n", "no column 'patient_id' or 'case_id'"),
    "no fold column": ("f.csv", "patient_id,split\nA,1\n", "no column 'fold'"),
    "no JSON": ("f.json", "{", "f.json: not a JSON file"),
    "neither": ("f.json", {"folds": []}, "f.json: neither a MONAI datalist"),
    "item without name": ("f.json", {"training": [{"fold": 0}]}, r"training[0]: names no patient_id"),
    "item that is none": ("f.json", {"training": [7]}, r"training[0]: names no patient_id"),
    "item without fold": ("f.json", {"training": [{"patient_id": "A"}]}, r"training[0]: fold is None"),
    "testing that is none": ("f.json", {"training": [], "testing": 5}, "'testing' is no list"),
    "a fold beyond all": ("f.json", {"training": [{"patient_id": "A", "fold": 999}]}, "training[0]: fold is 999"),
    "trains and validates": ("f.json", [{"train": ["a1", "b1"], "val": ["b1"]}], "[0] both trains and validates on"),
    "validated twice": ("f.json", [{"val": ["a1"]}, {"val": ["a2"]}], "[1].val[0] puts patient 'A' in fold 2, [0]."),
    "unknown in train": ("f.json", [{"train": ["x9"], "val": ["a1"]}], "[0].train[0]: case 'x9' is not in"),
    "no list": ("f.json", [{"train": "a1", "val": []}], "[0].train is no list of case ids"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_names_its_row(cli: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    name, content, said = MISTAKES[kind]
    table = study(tmp_path, ",,,,test")
    before = table.read_bytes()
    result = cli("cohort", "split", table, "--folds-file", write(tmp_path / name, content))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
    assert table.read_bytes() == before


def test_a_fold_the_table_has_otherwise_is_told_unless_started_over(tmp_path: Path) -> None:
    table = study(tmp_path, "3,3,,,test")
    file = write(tmp_path / "f.csv", FULL)
    with pytest.raises(InputError, match=r"row 2 puts patient 'A' in fold 1, row 2 of .* in fold 3; use --reassign"):
        split_table(table, folds_file=file)
    split_table(table, folds_file=file, reassign=True)
    assert {case.patient_id: case.fold for case in read_cohort(table).cases} == WANTED
