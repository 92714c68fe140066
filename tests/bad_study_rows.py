"""The table of bad inputs to the commands that make and look after a study: prepare, split, check, fracture, phantom."""
# ruff: noqa: E501 - a row is a line

import os
import shutil

import numpy as np

from tests.bad_inputs import (
    GOOD,
    HEAD,
    Bad,
    Maker,
    both,
    changed,
    cut,
    folder,
    nothing,
    scan,
    studied,
    tabled,
    text,
)

PREPARE = "prepare s --out out --jobs 1 --size 16 --spacing 1"
LABELS = f"{PREPARE} --labels-csv l.csv"
BOXES = f"{PREPARE} --boxes-csv b.csv"
SPLIT = "cohort split cohort.csv"
FRACTURE = "fracture --ct ct.nii.gz --mask mask.nii.gz --out out"
WEDGE = f"{FRACTURE} --fracture L1:wedge:2"
CHECK = "cohort check cohort.csv"
TWO_SPELLINGS = tabled(["a,p,L1,0,1,a.npy", "b,P,L1,0,2,b.npy"])
THREE = tabled(["a,a,L1,0,1,a.npy", "b,b,L1,0,2,b.npy", "c,c,L1,0,,c.npy"])


def labels(*rows: str, head: str = "patient_id,level,genant_grade") -> Maker:
    """A sound scan, and a table of readers' labels."""
    return both(studied(), text("l.csv", "\n".join([head, *rows, ""])))


def boxes(*rows: str, head: str = "patient_id,level,i0,i1,j0,j1,k0,k1") -> Maker:
    """A sound scan, and a table of boxes."""
    return both(studied(), text("b.csv", "\n".join([head, *rows, ""])))


def folds(name: str, content: str) -> Maker:
    """A sound cohort, and a file of given folds."""
    return both(THREE, text(name, content))


# fmt: off
STUDY_ROWS = [
    Bad("prepare: no such folder", nothing, "prepare none --out out", ("none: no such folder; give one that holds scans",)),
    Bad("prepare: a file", text("s"), PREPARE, ("s: no such folder; give one that holds scans",)),
    Bad("prepare: an empty folder", folder("s"), PREPARE, ("s: no scans found; looked for sub-*_ct.nii.gz",)),
    Bad("prepare: no mask", studied(mask=""), PREPARE, ("sub-a_ct.nii.gz: no vertebra mask; put sub-a_seg-vert_msk.nii.gz beside it",)),
    Bad("prepare: two masks", both(studied("s/ct/x.nii.gz", "s/mask/x.nii.gz"), studied("", "s/mask/x_seg.nii.gz")), PREPARE, ("s/ct/x.nii.gz", "x_seg.nii.gz")),
    Bad("prepare: a damaged CT", both(studied(), cut("s/sub-a_ct.nii.gz")), PREPARE, ("Error: /", "sub-a_ct.nii.gz: damaged; copy or export it again")),
    Bad("prepare: a mask on another grid", both(studied(), studied(ct="", offset=9)), PREPARE, ("mask on another grid than", "resample it onto the CT")),
    Bad("prepare: an empty mask", studied(number=0), PREPARE, ("sub-a_seg-vert_msk.nii.gz: the mask is empty; give another mask",)),
    Bad("prepare: numbers of no level", studied(number=99), PREPARE, ("sub-a_seg-vert_msk.nii.gz",)),
    Bad("prepare: not in HU", studied(values=GOOD * 255), PREPARE, ("sub-a_ct.nii.gz", "HU")),
    Bad("prepare: 1024 added to HU", studied(values=np.where(GOOD < 0.3, 0, 1000 + 100 * GOOD)), PREPARE, ("sub-a_ct.nii.gz", "1024")),
    Bad("prepare: into its source", studied(), "prepare s --out s/out", ("s/out: lies in s, into which nothing is written; give --out another folder",)),
    Bad("prepare: onto a file", both(studied(), text("out")), PREPARE, ("out is a file; give a folder",)),
    Bad("prepare: no such layout", studied(), f"{PREPARE} --layout bids", ("layout 'bids' is none of auto, verse",)),
    Bad("prepare: no such label map", studied(), f"{PREPARE} --labels verze", ("label map 'verze' is neither", "did you mean 'verse'?")),
    Bad("prepare: no such level", studied(), f"{PREPARE} --level L9", ("level 'L9' is neither anatomical nor in the map 'auto'",)),
    Bad("prepare: levels upside down", studied(), f"{PREPARE} --level L5-T4", ("levels 'L5-T4'", "write the upper level first")),
    Bad("prepare: size 0", studied(), "prepare s --out out --size 0", ("size (0, 0, 0) and spacing 1.0 mm must be above 0",)),
    Bad("prepare: an empty window", studied(), f"{PREPARE} --hu-window 5 5", ("HU window 5 to 5 is empty; give the lower end first",)),
    Bad("prepare: no jobs", studied(), "prepare s --out out --jobs 0", ("'--jobs': 0 is not in the range",)),
    Bad("prepare: a pipe for a mask", both(studied(mask=""), lambda f, _: os.mkfifo(f / "s/sub-a_seg-vert_msk.nii.gz")), PREPARE, ("sub-a_seg-vert_msk.nii.gz: a pipe or device, not a file",)),
    Bad("prepare: a name that is not UTF-8", studied("s/sub-\udcff_ct.nii.gz", "s/sub-\udcff_seg-vert_msk.nii.gz"), PREPARE, ("sub-\\udcff_ct.nii.gz: its path is not UTF-8; rename it",)),
    Bad("prepare: an empty file", both(studied(), text("s/sub-a_ct.nii.gz", "")), PREPARE, ("sub-a_ct.nii.gz: damaged or not a NIfTI file; copy or export it again",)),
    Bad("prepare: junk called DICOM", text("s/a.dcm", "\0" * 128 + "DICMjunk"), PREPARE, ("s: no scans found",)),
    Bad("labels: no table", studied(), LABELS, ("l.csv: cannot be read (No such file or directory); check the path",)),
    Bad("labels: no such patient", labels("sub-b,L1,0"), LABELS, ("l.csv: row 2: no scan is of patient 'sub-b'; did you mean 'sub-a'?",)),
    Bad("labels: grade 7", labels("sub-a,L1,7"), LABELS, ("l.csv: row 2: genant_grade is '7'; it must be 0 to 3",)),
    Bad("labels: label against grade", labels("sub-a,L1,2,0", head="patient_id,level,genant_grade,label"), LABELS, ("l.csv: row 2: label 0 contradicts genant_grade 2; correct one",)),
    Bad("labels: a vertebra twice", labels("sub-a,L1,1", "sub-a,L1,0"), LABELS, ("l.csv: row 2 and row 3 are both about sub-a L1; keep one",)),
    Bad("labels: no label column", labels("sub-a,L1", head="patient_id,level"), LABELS, ("l.csv: no column 'genant_grade' or 'label'; give one",)),
    Bad("labels: no such level", labels("sub-a,X9,0"), LABELS, ("l.csv: row 2: level 'X9' is unknown",)),
    Bad("boxes: inside out", boxes("sub-a,L1,5,3,0,1,0,1"), BOXES, ("b.csv: row 2: its box is empty or no box; give",)),
    Bad("boxes: missing columns", boxes("sub-a,L1,5,3", head="patient_id,level,i0,i1"), BOXES, ("b.csv: no box columns; name i0,i1,j0,j1,k0,k1",)),
    Bad("boxes: words", boxes("sub-a,L1,a,b,c,d,e,f"), BOXES, ("b.csv: row 2",)),
    Bad("split: no table", nothing, "cohort split none.csv", ("none.csv: cannot be read",)),
    Bad("split: more folds than patients", THREE, f"{SPLIT} --folds 9", ("3 patients with normal cases cannot fill k=9 folds; give",)),
    Bad("split: one fold", THREE, f"{SPLIT} --folds 1", ("'--folds': 1 is not in the range",)),
    Bad("split: hold-out of more than there are", THREE, f"{SPLIT} --holdout 9", ("a hold-out of 9 needs 9 patients without a fold; there are 1",)),
    Bad("split: a share above 1", THREE, f"{SPLIT} --holdout 1.5", ("hold-out '1.5': give a number of patients, such as 8, or a share",)),
    Bad("split: a hold-out of words", THREE, f"{SPLIT} --holdout x", ("hold-out 'x': give a number",)),
    Bad("split: a seed below 0", THREE, f"{SPLIT} --seed -1", ("'--seed': -1 is not in the range",)),
    Bad("split: no file of folds", THREE, f"{SPLIT} --folds-file none.csv", ("none.csv: cannot be read",)),
    Bad("split: folds of a stranger", folds("f.csv", "patient_id,fold\nzz,1\n"), f"{SPLIT} --folds-file f.csv", ("f.csv: row 2: patient 'zz' is not in",)),
    Bad("split: a patient in two folds", folds("f.csv", "patient_id,fold\na,1\na,2\n"), f"{SPLIT} --folds-file f.csv", ("f.csv: row 3 puts patient 'a' in fold 2, row 2 in fold 1; keep one",)),
    Bad("split: folds of no known kind", folds("f.json", "{}"), f"{SPLIT} --folds-file f.json", ("f.json: neither a MONAI datalist", "splits_final.json")),
    Bad("split: folds nested without end", folds("f.json", "[" * 100000), f"{SPLIT} --folds-file f.json", ("f.json: not a JSON file; give",)),
    Bad("split: a lock nested without end", folds("cohort.holdout.json", "[" * 100000), SPLIT, ("cohort.holdout.json: not a hold-out lock, or damaged; restore it",)),
    Bad("labels: a map nested without end", both(studied(), text("m.json", "[" * 100000)), f"{PREPARE} --labels m.json", ("m.json: not a JSON file; write an object",)),
    Bad("split: given folds against the table's", folds("f.csv", "patient_id,fold\na,2\n"), f"{SPLIT} --folds-file f.csv", ("f.csv: row 2 puts patient 'a' in fold 2", "use --reassign")),
    Bad("split: trained and validated on", folds("f.json", '[{"train":["a"],"val":["a"]}]'), f"{SPLIT} --folds-file f.json", ("f.json: [0] both trains and validates on 'a'; keep one",)),
    Bad("split: a patient spelt twice", TWO_SPELLINGS, f"{SPLIT} --folds 2", ("rows 2, 3 spell one patient_id in 2 ways ('p' and 'P'); spell it alike",)),
    Bad("split: a damaged lock", folds("cohort.holdout.json", "[]"), SPLIT, ("cohort.holdout.json: not a hold-out lock, or damaged; restore it",)),
    Bad("check: no table", nothing, "cohort check none.csv", ("none.csv: cannot be read",)),
    Bad("check: a patient spelt twice", TWO_SPELLINGS, CHECK, ("rows 2, 3 spell one patient_id in 2 ways ('p' and 'P'); spell it alike",)),
    Bad("check: an image in two folds", both(THREE, lambda f, _: shutil.copy(f / "a.npy", f / "b.npy")), CHECK, ("rows 2, 3 in folds 1 and 2 hold the same image (a.npy, b.npy); keep one row",)),
    Bad("check: a box beyond its image", tabled(['a,a,L1,0,1,a.npy,"0:99,0:1,0:1"', "b,b,L1,0,2,b.npy,"], HEAD + ",box"), CHECK, ("row 2: box 0:99,0:1,0:1 reaches beyond the image's (8, 8, 8) voxels; correct it",)),
    Bad("check: a damaged lock", folds("cohort.holdout.json", "{"), CHECK, ("cohort.holdout.json: not a hold-out lock, or damaged; restore it",)),
    Bad("phantom: reference and a count", nothing, "phantom out --reference --patients 3", ("--reference decides --patients; give one of them",)),
    Bad("phantom: a share of 2", nothing, "phantom out --fractured 2", ("fractured is 2.0; a share lies in [0, 1]",)),
    Bad("phantom: a billion patients", nothing, "phantom out --patients 1000000000", ("1000000002 patients are more than seeds keep apart; ask for at most 100003",)),
    Bad("phantom: too few patients", nothing, "phantom out --patients 1", ("1 patients cannot fill 5 folds",)),
    Bad("phantom: size 0", nothing, "phantom out --size 0", ("size 0 at 1 mm: no such crop; use 8 to 512",)),
    Bad("phantom: no such level", nothing, "phantom out --levels L9", ("level 'L9' can't be simulated; did you mean 'T9'?",)),
    Bad("phantom: a seed below 0", nothing, "phantom out --seed -1", ("'--seed': -1 is not in the range",)),
    Bad("phantom: onto a file", text("file"), "phantom file", ("file is a file; give a folder",)),
    Bad("fracture: no such type", scan(), f"{FRACTURE} --fracture L1:wedg:2", ("fracture type 'wedg' is unknown; did you mean 'wedge'?",)),
    Bad("fracture: grade 4", scan(), f"{FRACTURE} --fracture L1:wedge:4", ("fracture grade 4 is unknown; use 1, 2 or 3",)),
    Bad("fracture: a grade that is no decimal", scan(), f"{FRACTURE} --fracture L1:wedge:²", ("fracture 'L1:wedge:²' is not LEVEL:TYPE:GRADE",)),
    Bad("fracture: of another form", scan(), f"{FRACTURE} --fracture L1", ("fracture 'L1' is not LEVEL:TYPE:GRADE; write it as L1:wedge:2",)),
    Bad("fracture: a level the mask lacks", scan(), f"{FRACTURE} --fracture L2:wedge:2", ("L2 is not in the mask; did you mean 'L1'?",)),
    Bad("fracture: nothing asked for", scan(), FRACTURE, ("give either fractures, as L1:wedge:2, or a share",)),
    Bad("fracture: a share that is none", scan(), f"{FRACTURE} --share nan", ("share nan is no share; give more than 0 and at most 1",)),
    Bad("fracture: cut by the border", scan(mask=np.full((16, 16, 16), 20, np.uint8)), WEDGE, ("L1 reaches the scan's upper border and may be cut off; choose another level",)),
    Bad("fracture: no whole vertebra", scan(), WEDGE, ("L1: no spinal canal found in its mask, so no body; give a mask of the whole vertebra",)),
    Bad("fracture: mask of another shape", scan(mask=np.full((16, 16, 8), 20, np.uint8)), WEDGE, ("mask.nii.gz: mask on another grid than ct.nii.gz (size (16, 16, 8), not", "; resample it")),
    Bad("fracture: mask that is no labels", scan(mask=np.where(GOOD > 0.5, 20.5, 0).astype(np.float32)), WEDGE, ("mask.nii.gz: holds values that are no labels; give whole numbers",)),
    Bad("fracture: an empty mask", scan(mask=np.zeros((16, 16, 16), np.uint8)), WEDGE, ("mask.nii.gz: the mask is empty; give one with a number a vertebra",)),
    Bad("fracture: CT with NaN", scan(changed(np.nan) * 1000), WEDGE, ("ct.nii.gz: 1 voxels are NaN or infinite; replace them",)),
    Bad("fracture: 4D CT", scan(np.stack([GOOD, GOOD], 3) * 1000), WEDGE, ("ct.nii.gz: 4D (16×16×16×2), not 3D",)),
    Bad("fracture: onto a file", both(scan(), text("out")), WEDGE, ("out is a file; give a folder",)),
    Bad("fracture: a patient that is there", both(scan(), text("out/sub-ct_ct.nii.gz")), WEDGE, ("sub-ct_ct.nii.gz: already there; give another patient id or folder",)),
]
