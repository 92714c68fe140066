"""Rows of the battery for evaluate: maps and cohorts that cannot be compared, told before anything is written."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tests.bad_inputs import GOOD, HEAD, Bad, Kit, Maker, both, changed, folder, nifti, nothing, text, volume

EVALUATE = "evaluate maps --cohort cohort.csv"
TRUTH = (GOOD > 0.9).astype(np.uint8)
MOVED = np.array([[1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def scored(rows: str = "a,0.1\nb,0.2\nc,0.3\n", head: str = "case_id,score", **maps: Any) -> Maker:
    """A cohort of two normal cases and an abnormal one with a mask, and maps of them; a map is replaced or missing."""

    def make(place: Path, kit: Kit) -> None:
        lines = []
        for number, name in enumerate("abc"):
            nifti(place / f"{name}.nii.gz", np.roll(GOOD, number, 0))
            map_ = maps.get(name, GOOD)
            if map_ is not None:
                nifti(place / "maps" / f"{name}_error.nii.gz", map_)
            mask = "mask.nii.gz" if name == "c" else ""
            lines.append(f"{name},p{name},L1,{int(name == 'c')},{1 + number % 2},{name}.nii.gz,{mask}")
        nifti(place / "mask.nii.gz", maps.get("mask", TRUTH))
        (place / "cohort.csv").write_text("\n".join([f"{HEAD},mask", *lines, ""]), encoding="utf-8")
        (place / "maps").mkdir(exist_ok=True)
        (place / "maps" / "scores.csv").write_bytes(f"{head}\n{rows}".encode("utf-8", "surrogateescape"))

    return make


def relabelled(old: str, new: str) -> Maker:
    """The same with a part of the cohort replaced."""

    def make(place: Path, kit: Kit) -> None:
        scored()(place, kit)
        table = (place / "cohort.csv").read_text(encoding="utf-8")
        assert old in table
        (place / "cohort.csv").write_text(table.replace(old, new), encoding="utf-8")

    return make


def second(rows: str) -> Maker:
    """A second folder of maps with these rows."""

    def make(place: Path, kit: Kit) -> None:
        scored()(place, kit)
        shutil.copytree(place / "maps", place / "other")
        (place / "other" / "scores.csv").write_text(f"case_id,score\n{rows}", encoding="utf-8")

    return make


EVALUATION_ROWS = [
    Bad(
        "evaluate: no folder",
        nothing,
        "evaluate none --cohort {cohort}",
        ("scores.csv: no such file; run fracture-vae infer first",),
    ),
    Bad("evaluate: no cohort", scored(), "evaluate maps --cohort none.csv", ("none.csv: cannot be read",)),
    Bad(
        "evaluate: a file for MAPS",
        both(scored(), text("file")),
        "evaluate file --cohort cohort.csv",
        ("is a file; give a folder",),
    ),
    Bad("evaluate: no rows", scored(""), EVALUATE, ("0 normal and 0 abnormal cases of",)),
    Bad("evaluate: other columns", scored("a,1\n", "name,value"), EVALUATE, ("scores.csv: no column case_id, score",)),
    Bad(
        "evaluate: the cohort of others",
        scored(),
        "evaluate maps --cohort {cohort}",
        ("scores.csv: case 'a' is not in", "give the cohort the maps were made of"),
    ),
    Bad(
        "evaluate: another image of that name",
        scored("a,0.1,/elsewhere/a.nii.gz\n", "case_id,score,image"),
        EVALUATE,
        ("case 'a' is of /elsewhere/a.nii.gz, in the cohort of",),
    ),
    Bad("evaluate: a case twice", scored("a,0.1\na,0.2\nc,0.3\n"), EVALUATE, ("scores.csv: case 'a' appears twice",)),
    Bad(
        "evaluate: a score in letters",
        scored("a,high\nb,0.2\nc,0.3\n"),
        EVALUATE,
        ("score of 'a' is 'high', not a number",),
    ),
    Bad(
        "evaluate: a score of NaN", scored("a,nan\nb,0.2\nc,0.3\n"), EVALUATE, ("score of 'a' is 'nan', not a number",)
    ),
    Bad(
        "evaluate: a table whose end is missing",
        scored("a,0.1,m\nb,0.2,m\nc,0.", "case_id,score,model"),
        EVALUATE,
        ("scores.csv: row 4 has not as many values as the table has columns; run fracture-vae infer again",),
    ),
    Bad("evaluate: not UTF-8", scored("\udcff,1\n"), EVALUATE, ("scores.csv: damaged",)),
    Bad(
        "evaluate: all normal",
        relabelled("c,pc,L1,1", "c,pc,L1,0"),
        EVALUATE,
        ("3 normal and 0 abnormal cases of", "evaluation needs both"),
    ),
    Bad(
        "evaluate: all abnormal",
        relabelled(",L1,0,", ",L1,1,"),
        EVALUATE,
        ("0 normal and 3 abnormal cases of", "evaluation needs both"),
    ),
    Bad(
        "evaluate: a missing map",
        scored(b=None),
        EVALUATE,
        ("b_error.nii.gz: no such map, though scores.csv lists its case; run infer again",),
    ),
    Bad(
        "evaluate: a map of NaN", scored(b=changed(np.nan)), EVALUATE, ("b_error.nii.gz: 1 voxels are NaN or infinite",)
    ),
    Bad(
        "evaluate: a mask of another size",
        scored(mask=TRUTH[:8]),
        EVALUATE,
        ("mask.nii.gz: its size (8, 16, 16) is not that of c_error.nii.gz, (16, 16, 16); give the mask of the image",),
    ),
    Bad(
        "evaluate: an empty mask of an abnormal case",
        scored(mask=TRUTH * 0),
        EVALUATE,
        ("mask.nii.gz: marks no voxel of an abnormal case", "(row 4)"),
    ),
    Bad(
        "evaluate: a flag in words",
        scored("a,0.1,1,no\nb,0.2,1,0\nc,0.3,1,1\n", "case_id,score,score_z,flagged"),
        EVALUATE,
        ("flagged of 'a' is 'no', not 0 or 1",),
    ),
    Bad(
        "evaluate: calibrated scores that are not there",
        scored(),
        f"{EVALUATE} --map z",
        ("scores.csv: not every case was judged by a calibration; run fracture-vae calibrate and infer again",),
    ),
    Bad(
        "evaluate: z maps that are not there",
        scored("a,0.1,1,0\nb,0.2,1,0\nc,0.3,1,1\n", "case_id,score,score_z,flagged"),
        f"{EVALUATE} --map z",
        ("a_z.nii.gz: no such map; run infer again, or evaluate another kind",),
    ),
    Bad(
        "evaluate: a calibrated score in letters",
        scored("a,0.1,1,0\nb,0.2,x,0\nc,0.3,1,1\n", "case_id,score,score_z,flagged"),
        EVALUATE,
        ("scores.csv: score_z of 'b' is 'x', not a number; run infer again",),
    ),
    Bad(
        "evaluate: a map of another size than its image",
        scored(a=GOOD[:8]),
        EVALUATE,
        ("a_error.nii.gz: its size (8, 16, 16) is not that of a.nii.gz, (16, 16, 16); infer again",),
    ),
    Bad(
        "evaluate: a map that was moved",
        both(scored(), volume("maps/a_error.nii.gz", affine=MOVED, sform_code=1)),
        EVALUATE,
        ("a_error.nii.gz: lies up to 7 mm away from a.nii.gz; run infer again",),
    ),
    Bad(
        "evaluate: a mask that was moved",
        both(scored(), volume("mask.nii.gz", TRUTH, MOVED, sform_code=1)),
        EVALUATE,
        ("mask.nii.gz: lies up to 7 mm away from c_error.nii.gz; give the mask of the image the map is of",),
    ),
    Bad(
        "evaluate: a sidecar with a rate of 0",
        both(
            scored("a,0.1,1,0\nb,0.2,1,0\nc,0.3,1,1\n", "case_id,score,score_z,flagged"),
            text("maps/a.json", '{"calibration": {"alpha": 0}}'),
        ),
        EVALUATE,
        ("a.json: its calibration is damaged (alpha is 0); run infer again",),
    ),
    Bad("evaluate: a map there is not", scored(), f"{EVALUATE} --map residual", ("'residual' is not one of",)),
    Bad(
        "evaluate: against other cases",
        second("a,0.1\nc,0.3\n"),
        f"{EVALUATE} --against other",
        ("other: 1 case(s) are in one of maps and other only, such as b",),
    ),
    Bad("evaluate: against nothing", scored(), f"{EVALUATE} --against none", ("none/scores.csv: no such file",)),
    Bad(
        "evaluate: a damaged record of looks",
        both(relabelled(",L1,0,1,a", ",L1,0,test,a"), text("cohort.holdout_looks.jsonl", "{}\n")),
        EVALUATE,
        ("cohort.holdout_looks.jsonl: not a record of looks at a hold-out",),
    ),
    Bad(
        "evaluate: an emptied record of looks",
        both(relabelled(",L1,0,1,a", ",L1,0,test,a"), text("cohort.holdout_looks.jsonl", "")),
        EVALUATE,
        ("cohort.holdout_looks.jsonl: not a record of looks at a hold-out, or damaged; restore it from a copy",),
    ),
    Bad(
        "evaluate: a folder for the record of looks",
        both(relabelled(",L1,0,1,a", ",L1,0,test,a"), folder("cohort.holdout_looks.jsonl")),
        EVALUATE,
        ("cohort.holdout_looks.jsonl: cannot be read (Is a directory)",),
    ),
    Bad(
        "evaluate: results into a file",
        both(scored(), text("file")),
        f"{EVALUATE} --out file",
        ("is a file; give a folder",),
    ),
]
