"""The table of bad inputs: what is wrong, how it is made, the command, what its one line says. A row is a case."""
# ruff: noqa: E501 - a row is a line

from typing import Any, NamedTuple

import numpy as np

from tests.bad_inputs import (
    GOOD,
    HEAD,
    SINGULAR,
    ZERO,
    Maker,
    about,
    array,
    both,
    changed,
    checkpoint,
    cohort_of,
    cut,
    folder,
    loop,
    maps_with,
    nothing,
    other_network,
    pickled,
    run_with,
    scan,
    second_row,
    shortened,
    text,
    unsafe,
    volume,
)


class Bad(NamedTuple):
    """A bad input. ``{run}``, ``{folds}``, ``{bundle}``, ``{cohort}`` and ``{tiny}`` in a command are sound ones."""

    name: str
    make: Maker
    command: str
    says: tuple[str, ...]
    status: int = 2


TRAIN = "train {bundle} --cohort cohort.csv --project-dir runs {tiny}"
TRAIN_GOOD = "train {bundle} --cohort {cohort} --project-dir runs {tiny}"
INFER = "infer --model {run} --output out --set device=cpu --image"
INFER_GOOD = "infer --model {run} --output out --cohort {cohort} --split validation --set device=cpu"
MODEL = "infer --model model.pt --bundle {bundle} --cohort {cohort} --output out --set device=cpu"
CROP = "crop --ct ct.nii.gz --mask mask.nii.gz --out out"
BOTH = {"sform_code": 1, "qform_code": 1}

IMAGES: list[tuple[str, str, Maker, str]] = [
    ("truncated gzip", "a.nii.gz", cut("a.nii.gz"), "copy or export it again"),
    ("text renamed", "a.nii.gz", text("a.nii.gz"), "copy or export it again"),
    ("4D", "a.nii.gz", volume("a.nii.gz", np.stack([GOOD, GOOD], 3)), "4D (16×16×16×2), not 3D; split or export it"),
    ("NaN", "a.nii.gz", volume("a.nii.gz", changed(np.nan)), "1 voxels are NaN or infinite; replace them"),
    ("Inf", "a.nii.gz", volume("a.nii.gz", changed(np.inf)), "1 voxels are NaN or infinite; replace them"),
    ("constant", "a.nii.gz", volume("a.nii.gz", GOOD * 0 + 0.5), "every voxel is 0.5; this is no image, export it"),
    ("zero affine", "a.nii.gz", volume("a.nii.gz", affine=ZERO), "affine is zero or singular"),
    ("singular affine", "a.nii.gz", volume("a.nii.gz", affine=SINGULAR), "affine is zero or singular"),
    ("forms apart", "a.nii.gz", volume("a.nii.gz", **BOTH, qoffset_x=9), "put it 9 mm apart, so programs show it in"),
    ("no voxel size", "a.nii.gz", volume("a.nii.gz", pixdim=[1, 1, 0, 1, 1, 1, 1, 1]), "(pixdim) are 1, 0, 1; all"),
    ("a terabyte", "a.nii.gz", volume("a.nii.gz", dim=[3, 10000, 10000, 10000, 1, 1, 1, 1]), "dim (3, 10000"),
    ("another type", "a.nii.gz", volume("a.nii.gz", datatype=64), "32768 bytes of voxels (float64), the file holds"),
    ("complex", "a.nii.gz", volume("a.nii.gz", GOOD.astype(np.complex64)), "voxels are complex64, not single real"),
    ("npy that needs pickle", "a.npy", pickled("a.npy"), "holds Python objects or is no .npy file; save a plain"),
    ("npy of no axes", "a.npy", array("a.npy", np.float32(3)), "0D (), not 3D; split or export it as one volume"),
    ("structured npy", "a.npy", array("a.npy", np.zeros(3, "f4,i2")), "not one array of real numbers; save a plain"),
    ("HU with intensity none", "a.nii.gz", volume("a.nii.gz", GOOD * 1000), "set intensity to hu_window"),
    ("another suffix", "a.mha", text("a.mha"), "not a volume; give one of .nii.gz, .nii, .npy"),
]  # fmt: skip

ROWS: list[Bad] = [
    *(Bad(f"infer: {name}", make, f"{INFER} {file}", (file, says)) for name, file, make, says in IMAGES),
    *(Bad(f"train: {name}", cohort_of(make, image=file), TRAIN, (file, says)) for name, file, make, says in IMAGES),
    Bad("infer: missing image", nothing, f"{INFER} a.nii.gz", ("a.nii.gz: no such file; check the path",)),
    Bad("infer: a folder for an image", folder("a.nii.gz"), f"{INFER} a.nii.gz", ("a.nii.gz: a folder, not a file",)),
    Bad("infer: a link to itself", loop("a.nii.gz"), f"{INFER} a.nii.gz", ("a.nii.gz: no such file",)),
    Bad("infer: a line break in a name", volume("a\nb.nii.gz", changed(np.nan)), f"{INFER} 'a\nb.nii.gz'", ("a\\nb.nii.gz: 1",)),
    Bad("infer: a name that is too long", nothing, f"{INFER} {'x' * 300}.nii.gz", ("xxx.nii.gz: no such file",)),

    Bad("crop: empty mask", scan(mask=np.zeros((16, 16, 16), np.uint8)), CROP, ("mask.nii.gz",)),
    Bad("crop: mask on another grid", scan(mask=np.full((16, 16, 8), 20, np.uint8)), CROP, ("mask.nii.gz: mask on another grid", "resample it onto the CT")),
    Bad("crop: missing CT", scan(ct=None), CROP, ("ct.nii.gz: no such file; check the path",)),
    Bad("crop: CT with NaN", scan(changed(np.nan) * 1000), CROP, ("ct.nii.gz: 1 voxels are NaN", "in CT, by -1024 HU")),
    Bad("crop: 4D mask", scan(mask=np.ones((16, 16, 16, 2), np.uint8)), CROP, ("mask.nii.gz: 4D",)),
    Bad("crop: CT of forms apart", scan(**BOTH, qoffset_x=9), CROP, ("ct.nii.gz: its sform and qform put it 9 mm apart", "keep the right one")),
    Bad("crop: no such labels", scan(), f"{CROP} --labels vers", ("vers",)),
    Bad("crop: no such level", scan(), f"{CROP} --level X9", ("X9",)),
    Bad("crop: size 0", scan(), f"{CROP} --size 0", ("size",)),
    Bad("crop: size that is no number", scan(), f"{CROP} --size big", ("'--size': 'big' is not a valid integer",)),
    Bad("crop: empty window", scan(), f"{CROP} --hu-window 5 5", ("HU window 5 to 5 is empty; give the lower end first",)),
    Bad("crop: no mask given", scan(), "crop --ct ct.nii.gz --out out", ("Missing option '--mask'",)),
    Bad("crop: a table of another kind", both(scan(), text("out/cohort.csv", "a,b\n1,2\n")), CROP, ("cohort.csv: no column 'case_id'",)),

    Bad("a patient in two folds", second_row("p11,p10,L1,0,2,p11.nii.gz"), TRAIN, ("cohort.csv: rows 2, 3 put patient 'p10' in folds 1 and 2; keep",)),
    Bad("a case twice", second_row("p10,x,L1,0,1,p11.nii.gz"), TRAIN, ("cohort.csv: rows 2, 3 have the same case_id", "keep one row")),
    Bad("an image twice", second_row("p11,x,L1,0,1,p10.nii.gz"), TRAIN, ("cohort.csv: rows 2, 3 name the same image", "keep one row")),
    Bad("a missing image", second_row("p11,p11,L1,0,1,none.nii.gz"), TRAIN, ("cohort.csv: row 3: image 'none.nii.gz' does not exist; paths",)),
    Bad("a label that is none", second_row("p11,p11,L1,yes,1,p11.nii.gz"), TRAIN, ("cohort.csv: row 3: label is 'yes'; it must be 0",)),
    Bad("a fold that is none", second_row("p11,p11,L1,0,x,p11.nii.gz"), TRAIN, ("cohort.csv: row 3: fold is 'x'; it must be",)),
    Bad("a box inside out", second_row("p11,p11,L1,0,1,p11.nii.gz,\"3:1,0:1,0:1\"", HEAD + ",box"), TRAIN, ("cohort.csv: row 3: box is '3:1,0:1,0:1'; it must",)),
    Bad("an empty fold", second_row("p11,p11,L1,1,2,p11.nii.gz"), f"{TRAIN} --fold 2", ("cohort.csv: fold 2 holds no normal case", "check the columns")),
    Bad("no such fold", second_row("p11,p11,L1,0,1,p11.nii.gz"), f"{TRAIN} --fold 2", ("cohort.csv: no row has fold 2; there are 1",)),
    Bad("a row too long", second_row("p11,p11,L1,0,1,p11.nii.gz,1"), TRAIN, ("cohort.csv: row 3 has 7 fields, the header 6; quote commas",)),
    Bad("a missing column", second_row("", "case_id,patient_id,level,label,fold,images"), TRAIN, ("cohort.csv: no column 'image'; did you mean 'images'?",)),
    Bad("not UTF-8", text("cohort.csv", HEAD + "\n\udcff"), TRAIN, ("cohort.csv: not a UTF-8 text; save it as 'CSV UTF-8'",)),
    Bad("a quote never closed", second_row("p11,\"p11,L1"), TRAIN, ("cohort.csv: not a CSV table", "save it as")),
    Bad("a case that can be no file", second_row("a/b,p11,L1,0,1,p11.nii.gz"), TRAIN, ("row 3: case_id 'a/b' cannot be a file name; use letters",)),
    Bad("no rows", text("cohort.csv", HEAD + "\n"), TRAIN, ("cohort.csv: no rows; a cohort needs at least one case",)),
    Bad("a folder for a cohort", folder("cohort.csv"), TRAIN, ("cohort.csv: cannot be read (Is a directory)",)),
    Bad("no cohort", nothing, TRAIN, ("cohort.csv: cannot be read (No such file or directory); check the path",)),

    Bad("new: no such folder", nothing, "cohort new none", ("none: no such folder; check the path",)),
    Bad("new: an empty folder", folder("images"), "cohort new images", ("images: holds no volumes; put",)),
    Bad("new: too few patients", volume("images/a.nii.gz"), "cohort new images", ("1 patients with normal cases cannot fill k=5 folds",)),
    Bad("new: labels of no volume", both(volume("images/a.nii.gz"), text("l.csv", "case_id,label\nb,1\n")), "cohort new images --labels l.csv", ("l.csv: row 2 names 'b', which is no volume",)),
    Bad("new: a table is there", both(volume("images/a.nii.gz"), text("images/cohort.csv")), "cohort new images", ("cohort.csv: is there already; remove it or name another",)),
    Bad("new: masks of other names", both(volume("images/a.nii.gz"), volume("m/b.nii.gz")), "cohort new images --masks m", ("m: no mask there is named as an image",)),
    Bad("export: no table", nothing, "cohort export none.csv d.json", ("none.csv: cannot be read",)),
    Bad("export: into a folder that is a file", text("file"), "cohort export {cohort} file/d.json", ("file/d.json: cannot be written",)),
    Bad("import: no JSON", text("d.json"), "cohort import d.json c.csv", ("d.json: not a JSON file; give a MONAI datalist",)),
    Bad("import: no lists", text("d.json", "{}"), "cohort import d.json c.csv", ("d.json: no list 'training' or 'testing'",)),
    Bad("import: an item without image", text("d.json", '{"training": [{}]}'), "cohort import d.json c.csv", ("d.json: training[0]: no image; each item",)),
    Bad("import: a fold below 0", both(volume("a.nii.gz"), text("d.json", '{"training": [{"image": "a.nii.gz", "fold": -1}]}')), "cohort import d.json c.csv", ("d.json: training[0]: fold is -1",)),
    Bad("synthetic: too few patients", nothing, "phantom out --patients 1", ("1 patients cannot fill 5 folds",)),
    Bad("synthetic: size 0", nothing, "phantom out --size 0", ("size 0 and spacing 1.0 mm: no such crop; try 128 at 1 mm",)),
    Bad("synthetic: no such level", nothing, "phantom out --levels X --size 16", ("level 'X' can't be simulated", "use T4")),
    Bad("synthetic: a seed below 0", nothing, "phantom out --seed -1", ("'--seed': -1 is not in the range",)),
    Bad("synthetic: onto a file", text("file"), "phantom file", ("file is a file; give a folder",)),
    Bad("plugins: an argument", nothing, "plugins all", ("unexpected extra argument",)),
    Bad("no such command", nothing, "trian", ("No such command 'trian'",)),

    Bad("model: of another architecture", other_network, MODEL, ("model.pt: weights of another architecture", "use the configuration it was trained with")),
    Bad("model: needs unsafe loading", unsafe, MODEL, ("model.pt: needs unsafe loading", "save its state_dict alone")),
    Bad("model: truncated", shortened, MODEL, ("model.pt: damaged, or no checkpoint", "copy or train it again")),
    Bad("model: missing", nothing, MODEL, ("model.pt: no such run folder, checkpoint or bundle",)),
    Bad("model: the root of the disk", nothing, "infer --model / --output out --image a.npy", ("/: no checkpoints/best.json or", "give a run folder")),
    Bad("model: text", text("model.pt"), MODEL, ("model.pt: damaged, or no checkpoint",)),
    Bad("model: brings code", about(bundle="$print(1)"), MODEL, ("model.pt: what it says of itself holds code; do not use",)),
    Bad("model: about is no JSON", checkpoint(about="{"), MODEL, ("model.pt: what it says of itself is not JSON",)),
    Bad("model: about is no text", checkpoint(about=3), MODEL, ("model.pt: what it says of itself is not JSON",)),
    Bad("model: fold is a word", about(fold="one"), MODEL, ("model.pt: what it says of itself is damaged ('fold' is \"one\"); copy",)),
    Bad("model: size of two", about(size=[16, 16]), MODEL, ("('size' is [16, 16]); copy or train it again",)),
    Bad("model: unknown preprocessing", about(preprocessing={"intensity": "hu"}), MODEL, ("model.pt: the preprocessing it was trained with", "'hu'")),
    Bad("model: of the future", about(format=99), MODEL, ("model.pt: written by a newer fracture-vae (format 99); update",)),
    Bad("model: a bundle elsewhere", about(bundle="../x"), MODEL, ("('bundle' is \"../x\")",)),
    Bad("model: no such network", about(network={"name": "vqva"}), MODEL, ("no network is called 'vqva'; did you mean 'vqvae'?",)),
    Bad("run: index damaged", run_with("checkpoints/best.json", "["), "infer --model run --output out --cohort {cohort}", ("best.json: damaged, it is not JSON; give",)),
    Bad("run: index empty", run_with("checkpoints/best.json", "[]"), "infer --model run --output out --cohort {cohort}", ("best.json: names no checkpoint that is there; give",)),
    Bad("run: index of other things", run_with("checkpoints/best.json", '[{"file": 3}]'), "infer --model run --output out --cohort {cohort}", ("best.json: its list of the best models is damaged",)),
    Bad("run: meta damaged", run_with("run_meta.json", "[1]"), "train --resume run", ("run_meta.json: damaged, it holds no JSON object; restore",)),
    Bad("resume: no run", folder("run"), "train --resume run", ("resume run: no run folder, it has no",)),
    Bad("resume: done", run_with("x", ""), "train --resume run", ("resume run: it is done; to train on, raise max_epochs",)),
    Bad("resume: with a bundle", nothing, "train {bundle} --resume {run}", ("--resume goes on with a run as it was started: give it alone",)),

    Bad("train: no bundle", nothing, "train none", ("none: not a bundle, it has no configs/train.json; give a folder",)),
    Bad("train: nothing given", nothing, "train", ("give a BUNDLE, such as bundles/vq3d, or --resume RUN",)),
    Bad("train: a fold in letters", nothing, "train {bundle} --fold two", ("fold 'two': give a number, or all",)),
    Bad("train: no overlay", nothing, "train {bundle} --config none.json", ("none.json: no such config file",)),
    Bad("train: an overlay that is none", text("o.json"), "train {bundle} --config o.json", ("o.json: does not parse",)),
    Bad("train: a setting without value", nothing, "train {bundle} --set fold", ("'fold' is not KEY=VALUE",)),
    Bad("train: onto a file", text("file"), "train {bundle} --cohort {cohort} --project-dir file {tiny}", ("file is a file; give a folder",)),
    Bad("infer: onto a file", text("file"), "infer --model {run} --cohort {cohort} --output file", ("file is a file; give a folder",)),
    Bad("infer: over nothing", nothing, "infer --model {run} --output out", ("nothing to run over: give cohort, images or dataset_dir",)),
    Bad("infer: no cohort", nothing, "infer --model {run} --output out --cohort none.csv", ("none.csv: cannot be read",)),
    Bad("infer: an untrained bundle", nothing, "infer --model {bundle} --output out --image a.npy", ("this bundle has no models/model.pt; train it",)),
    Bad("infer: two sources", volume("a.nii.gz"), "infer --model {run} --output out --image a.nii.gz --cohort {cohort}", ("cohort and images are given; run over one of them",)),
    Bad("infer: onto its input", volume("a.nii.gz"), "infer --model {run} --output . --image a.nii.gz", (".: holds a.nii.gz, an input; give another folder",)),
    Bad("infer: no sources to paste into", nothing, "infer --model {run} --output out --cohort {cohort} --in-source", ("--in-source needs a cohort whose rows have crop and",)),
    Bad("infer: models of all folds over one image", volume("a.nii.gz"), "infer --model {folds} --output out --image a.nii.gz", ("a model of each fold would run over it; give one",)),

    Bad("sheet: no folder", nothing, "sheet none", ("scores.csv: no such file; run fracture-vae infer first",)),
    Bad("sheet: no rows", maps_with("case_id,score\n"), "sheet maps", ("scores.csv lists no case",)),
    Bad("sheet: other columns", maps_with("a,b\n1,2\n"), "sheet maps", ("scores.csv: no column case_id, score",)),
    Bad("sheet: a score in letters", maps_with("case_id,score\na,high\n"), "sheet maps", ("scores.csv: score of 'a' is 'high', not a number; run",)),
    Bad("sheet: not UTF-8", maps_with("case_id,score\n\udcff,1\n"), "sheet maps", ("scores.csv: damaged",)),
    Bad("sheet: no maps", maps_with("case_id,score\nb,1\n"), "sheet maps", ("b_recon.nii.gz: no such file",)),
    Bad("sheet: maps of two sizes", maps_with("case_id,score\na,1\n", bad="signed"), "sheet maps", ("a_signed.nii.gz: its size (8, 16, 16) is not",)),
    Bad("sheet: no cases", maps_with("case_id,score\na,1\n"), "sheet maps --cases 0", ("0 cases: give a number from 1 to",)),
    Bad("sheet: another format", maps_with("case_id,score\na,1\n"), "sheet maps --out a.xyz", ("a.xyz: no picture format; give a name that ends in .png",)),
]  # fmt: skip

SETTINGS: dict[str, str] = {
    "device=gpu": "device 'gpu' cannot be used here; set device to cpu",
    "precision=fp16": "precision 'fp16' is not one of auto, bf16, fp32",
    "compile=maybe": "compile 'maybe' is not one of auto, true, false",
    "quantizer=vqq": "no quantizer is called 'vqq'; did you mean 'vq'?",
    "quantizer_options={\"codes\":8}": "quantizer 'vq'",
    "quantizer_options={\"num_codes\":1}": "num_codes is 1",
    "quantizer_options=8": "override --quantizer_options: 8 is not a section with keys of its own",
    "optimizer=Adm": "did you mean 'Adam'?",
    "optimizer=LBFGS": "optimizer 'LBFGS'",
    "learning_rate=-1": "learning_rate -1",
    "learning_rate=fast": "override --learning_rate: 'fast' is not a number; the config has 0.0001",
    "final_learning_rate=x": "override --final_learning_rate: 'x' is not a number; the config has 1e-06",
    "final_learning_rate=NaN": "final_learning_rate nan: must be a number from 0 up",
    "lr_schedule=cosin": "did you mean 'cosine'?",
    "norm=bach": "norm is 'bach'",
    "channels=[4,0]": "channels is",
    "channels=[4,\"x\"]": "override --channels: [4, 'x'] is not a list of numbers",
    "dropout=1.5": "dropout is 1.5",
    "distance=l3": "distance 'l3'",
    "structure=sim": "did you mean 'ssim'?",
    "intensity=hu": "intensity 'hu' is not one of hu_window",
    "hu_window=[5,5]": "hu_window [5, 5]",
    "hu_window=[5]": "hu_window [5]: give two numbers",
    "percentiles=[-1,120]": "percentiles [-1.0, 120.0]: must lie between 0 and 100",
    "gradient_clip=0": "gradient_clip 0",
    "max_epochs=0": "max_epochs is 0; it must be a whole number of at least 1",
    "max_epochs=true": "override --max_epochs: True is not a number; the config has 200",
    "batch_size=0": "batch_size is 0",
    "val_interval=0": "val_interval is 0",
    "patience=0": "patience is 0",
    "keep_best=0": "keep_best is 0",
    "seed=1.5": "seed=1.5: cannot be used",
    "size=[8,8,8]": "exceeds size (8, 8, 8)",
    "size=[16]": "size [16]",
    "size=abc": "size='abc'",
    "augmentation#flip_prob=2": "flip_prob is 2",
    "augmentation#flip_prob=null": "augmentation#flip_prob=null: cannot be used",
    "run_name=a/b": "run_name 'a/b'",
    "group=../x": "group '../x': give a plain name",
    "run_name=[1]": "run_name=[1]: cannot be used",
    "fodl=2": "the config has no key 'fodl'; did you mean 'fold'?",
    "fold=2": "--fold",
    "resume=none": "resume none: no such run folder",
}  # fmt: skip

INFERENCE: dict[str, str] = {
    "device=gpu": "device 'gpu'",
    "precision=fp16": "precision 'fp16'",
    "score=l3": "no score is called 'l3'",
    "fold=9": "no row in split validation of fold 9",
    "split=tset": "did you mean 'test'?",
    "top_fraction=2": "top_fraction 2",
    "top_fraction=x": "override --top_fraction: 'x' is not a number; the config has 0.005",
    "score_margin=-1": "score_margin -1: must be millimetres from 0 up",
    "npyy=true": "the config has no key 'npyy'; did you mean 'npy'?",
    "npy=3": "override --npy: 3 is not True or False; the config has false",
    "output_dir=a": "--set output_dir: the folder is given by --output",
    "intensity=hu": "intensity 'hu' is not one of",
}


def _set(verb: str, command: str, settings: dict[str, Any]) -> list[Bad]:
    return [Bad(f"{verb} --set {key}", nothing, f"{command} --set '{key}'", (says,)) for key, says in settings.items()]


BATTERY = [*ROWS, *_set("train", TRAIN_GOOD, SETTINGS), *_set("infer", INFER_GOOD, INFERENCE)]
