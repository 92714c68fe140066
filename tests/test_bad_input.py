"""Bad input is told in one line that names it and what to do; nothing is half-written, no traceback shown."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

GOOD = np.linspace(0, 1, 16**3, dtype=np.float32).reshape(16, 16, 16)
SINGULAR = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def nifti(path: Path, array: Any = GOOD, affine: Any = None) -> Path:
    """Write a NIfTI whose header is as given, however unsound."""
    image = nib.Nifti1Image(array, np.eye(4))
    if affine is not None:
        image.header.set_sform(affine, code=1)
        image.header.set_qform(None, code=0)
        image = nib.Nifti1Image(array, None, image.header)
        image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = affine[:3]
        image.header["sform_code"] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes()))
    return path


def cut(path: Path) -> Path:
    nifti(path)
    path.write_bytes(path.read_bytes()[:300])
    return path


def text(path: Path) -> Path:
    path.write_text("this is no image", encoding="utf-8")
    return path


def pickled(path: Path) -> Path:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return path


def changed(value: float) -> Any:
    array = GOOD.copy()
    array[3, 4, 5] = value
    return array


IMAGES: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "truncated gzip": ("a.nii.gz", cut, "copy or export it again"),
    "text renamed": ("a.nii.gz", text, "copy or export it again"),
    "4D": ("a.nii.gz", lambda p: nifti(p, np.stack([GOOD, GOOD], 3)), "4D"),
    "NaN": ("a.nii.gz", lambda p: nifti(p, changed(np.nan)), "1 voxels are NaN or infinite"),
    "Inf": ("a.nii.gz", lambda p: nifti(p, changed(np.inf)), "1 voxels are NaN or infinite"),
    "constant": ("a.nii.gz", lambda p: nifti(p, np.full((16, 16, 16), 0.5, np.float32)), "every voxel is 0.5"),
    "zero affine": ("a.nii.gz", lambda p: nifti(p, affine=np.diag([0, 0, 0, 1.0])), "affine is zero or singular"),
    "singular affine": ("a.nii.gz", lambda p: nifti(p, affine=SINGULAR), "affine is zero or singular"),
    "missing": ("a.nii.gz", lambda p: p, "no such file"),
    "npy that needs pickle": ("a.npy", pickled, "Python objects"),
    "HU with intensity none": ("a.nii.gz", lambda p: nifti(p, GOOD * 1000), "set intensity to hu_window"),
    "another suffix": ("a.mha", text, "not a volume"),
}  # fmt: skip


def assert_told(result: Any, status: int, *parts: str) -> None:
    """One line of error, beginning so, that says all of ``parts``; no traceback."""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1, result.stderr[-2000:]
    assert errors[0].startswith("Error: ")
    for part in parts:
        assert part in errors[0]
    assert "Traceback" not in result.stderr
    assert (result.exit_code if hasattr(result, "exit_code") else result.returncode) == status


@pytest.fixture
def settings(tiny: dict[str, Any]) -> list[str]:
    """Arguments of ``fracture-vae train`` for a tiny training."""
    return [part for key, value in tiny.items() for part in ("--set", f"{key}={json.dumps(value)}")]


@pytest.mark.parametrize("kind", IMAGES)
def test_a_bad_image_is_not_inferred(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path, kind: str) -> None:
    name, make, complaint = IMAGES[kind]
    make(tmp_path / name)
    result = cli("infer", "--model", tiny_run, "--output", tmp_path / "out", "--image", tmp_path / name)
    assert_told(result, 2, name, complaint)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [kind for kind in IMAGES if kind != "missing"])
def test_a_bad_image_is_not_trained_on(
    cli: Callable[..., Any], vq3d: Path, table: Callable[..., Path], settings: list[str], tmp_path: Path, kind: str
) -> None:
    name, make, complaint = IMAGES[kind]
    make(tmp_path / name)
    nifti(tmp_path / "good.nii.gz")
    nifti(tmp_path / "fine.nii.gz", 1 - GOOD)
    rows = [{"case_id": f"c{i}", "fold": i + 1, "image": n} for i, n in enumerate(("good.nii.gz", "fine.nii.gz", name))]
    cohort = table(tmp_path / "cohort.csv", rows)
    result = cli("train", vq3d, "--cohort", cohort, "--project-dir", tmp_path / "runs", *settings)
    assert_told(result, 2, name, complaint)
    assert not (tmp_path / "runs").exists()


CROPS: dict[str, tuple[dict[str, Any], str, str]] = {
    "empty mask": ({"mask": np.zeros((16, 16, 16), np.uint8)}, "mask.nii.gz", ""),
    "mask on another grid": ({"mask": np.full((16, 16, 8), 20, np.uint8)}, "mask.nii.gz", "grid"),
    "missing CT": ({"ct": None}, "ct.nii.gz", "no such file"),
    "CT with NaN": ({"ct": changed(np.nan) * 1000}, "ct.nii.gz", "NaN"),
    "4D mask": ({"mask": np.ones((16, 16, 16, 2), np.uint8)}, "mask.nii.gz", "4D"),
}


@pytest.mark.parametrize("kind", CROPS)
def test_nothing_is_cropped_from_a_bad_ct_or_mask(cli: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    given, named, complaint = CROPS[kind]
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[5:9, 5:9, 5:9] = 20
    for name, array in {"ct": (GOOD * 2000 - 1000), "mask": mask, **given}.items():
        if array is not None:
            nifti(tmp_path / f"{name}.nii.gz", array)
    result = cli("crop", "--ct", tmp_path / "ct.nii.gz", "--mask", tmp_path / "mask.nii.gz", "--out", tmp_path / "out")
    assert_told(result, 2, named, complaint)
    assert not (tmp_path / "out").exists()


COHORTS = {
    "a patient in two folds": ("p11,p10,L1,0,2,p11.nii.gz", "cohort.csv", "patient 'p10' in folds 1 and 2"),
    "a case twice": ("p10,x,L1,0,1,p11.nii.gz", "cohort.csv", "have the same case_id"),
    "an image twice": ("p11,x,L1,0,1,p10.nii.gz", "cohort.csv", "name the same image"),
    "a missing image": ("p11,p11,L1,0,1,none.nii.gz", "cohort.csv", "none.nii.gz"),
    "a label that is none": ("p11,p11,L1,yes,1,p11.nii.gz", "cohort.csv", "label is 'yes'"),
    "an empty fold": ("p11,p11,L1,1,2,p11.nii.gz", "cohort.csv", "holds no normal case"),
    "no such fold": ("p11,p11,L1,0,1,p11.nii.gz", "cohort.csv", "no row has fold 2"),
}


@pytest.mark.parametrize("kind", COHORTS)
def test_a_bad_cohort_is_not_trained_on(
    cli: Callable[..., Any], vq3d: Path, tiny_cohort: Path, settings: list[str], tmp_path: Path, kind: str
) -> None:
    row, named, complaint = COHORTS[kind]
    for name in ("p10", "p11", "p20"):
        shutil.copy(tiny_cohort.parent / f"{name}.nii.gz", tmp_path)
    head = "case_id,patient_id,level,label,fold,image"
    (tmp_path / "cohort.csv").write_text(f"{head}\np10,p10,L1,0,1,p10.nii.gz\n{row}\n", encoding="utf-8")
    arguments = ["--cohort", tmp_path / "cohort.csv", "--fold", 2, "--project-dir", tmp_path / "runs", *settings]
    assert_told(cli("train", vq3d, *arguments), 2, named, complaint)
    assert not (tmp_path / "runs").exists()


SETTINGS = {
    "device=gpu": "device 'gpu' cannot be used here",
    "precision=fp16": "precision 'fp16' is not one of auto, bf16, fp32",
    "compile=maybe": "compile 'maybe'",
    "quantizer=vqq": "no quantizer is called 'vqq'; did you mean 'vq'?",
    "quantizer_options={\"codes\":8}": "quantizer 'vq'",
    "quantizer_options={\"num_codes\":1}": "num_codes is 1",
    "optimizer=Adm": "did you mean 'Adam'?",
    "optimizer=LBFGS": "optimizer 'LBFGS'",
    "learning_rate=-1": "learning_rate -1",
    "lr_schedule=cosin": "did you mean 'cosine'?",
    "norm=bach": "norm is 'bach'",
    "channels=[4,0]": "channels is",
    "dropout=1.5": "dropout is 1.5",
    "distance=l3": "distance 'l3'",
    "structure=sim": "did you mean 'ssim'?",
    "intensity=hu": "intensity 'hu' is not one of hu_window",
    "hu_window=[5,5]": "hu_window [5, 5]",
    "gradient_clip=0": "gradient_clip 0",
    "max_epochs=0": "max_epochs is 0; it must be a whole number of at least 1",
    "batch_size=0": "batch_size is 0",
    "val_interval=0": "val_interval is 0",
    "patience=0": "patience is 0",
    "keep_best=0": "keep_best is 0",
    "size=[8,8,8]": "exceeds size (8, 8, 8)",
    "size=[16]": "size [16]",
    "augmentation#flip_prob=2": "flip_prob is 2",
    "run_name=a/b": "run_name 'a/b'",
    "fodl=2": "the config has no key 'fodl'; did you mean 'fold'?",
    "fold=2": "--fold",
    "resume=none": "resume none: no such run folder",
}  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_bad_setting_stops_before_a_run_folder_is_made(
    cli: Callable[..., Any], vq3d: Path, tiny_cohort: Path, settings: list[str], tmp_path: Path, setting: str
) -> None:
    arguments = ["--cohort", tiny_cohort, "--project-dir", tmp_path / "runs", *settings, "--set", setting]
    assert_told(cli("train", vq3d, *arguments), 2, SETTINGS[setting])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_told(
    cli: Callable[..., Any], vq3d: Path, tiny_cohort: Path, settings: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, package: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("fracture_vae.training.tracking.find_spec", lambda _: None)
    arguments = ["--cohort", tiny_cohort, "--project-dir", tmp_path / "runs", *settings, "--set", f"{package}=true"]
    assert_told(cli("train", vq3d, *arguments), 2, f"{package} is switched on but not installed")
    assert not (tmp_path / "runs").exists()


class Custom:
    """Something only unsafe loading brings back."""


def unsafe(path: Path, whole: Path) -> None:
    torch.save({"network": Custom()}, path)


def shortened(path: Path, whole: Path) -> None:
    path.write_bytes(whole.read_bytes()[:-3000])


def other(path: Path, whole: Path) -> None:
    content = torch.load(whole, weights_only=True)
    about = json.loads(content["about"])
    about["network"]["channels"] = [4, 12]
    torch.save({**content, "about": json.dumps(about)}, path)


def absent(path: Path, whole: Path) -> None:
    pass


MODELS = {
    "of another architecture": (other, "weights of another architecture"),
    "that needs unsafe loading": (unsafe, "needs unsafe loading"),
    "truncated": (shortened, "damaged, or no checkpoint"),
    "missing": (absent, "no such run folder, checkpoint or bundle"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_bad_checkpoint_is_not_run(
    cli: Callable[..., Any], vq3d: Path, tiny_run: Path, tiny_cohort: Path, tmp_path: Path, kind: str
) -> None:
    make, complaint = MODELS[kind]
    make(tmp_path / "model.pt", tiny_run / "checkpoints" / "last.pt")
    result = cli("infer", "--model", tmp_path / "model.pt", "--bundle", vq3d, "--cohort", tiny_cohort,
                 "--output", tmp_path / "out")  # fmt: skip
    assert_told(result, 2, "model.pt", complaint)
    assert not (tmp_path / "out").exists()


INFERENCE = {
    "device=gpu": "device 'gpu'",
    "precision=fp16": "precision 'fp16'",
    "score=l3": "no score is called 'l3'",
    "fold=9": "no row in split validation of fold 9",
    "split=tset": "did you mean 'test'?",
    "top_fraction=2": "top_fraction 2",
    "npyy=true": "the config has no key 'npyy'; did you mean 'npy'?",
    "intensity=hu_window": "set intensity to none",
}


@pytest.mark.parametrize("setting", INFERENCE)
def test_a_bad_setting_stops_an_inference_before_anything_is_written(
    cli: Callable[..., Any], tiny_run: Path, tiny_cohort: Path, tmp_path: Path, setting: str
) -> None:
    arguments = ["--cohort", tiny_cohort, "--split", "validation"]
    result = cli("infer", "--model", tiny_run, *arguments, "--output", tmp_path / "out", "--set", setting)
    if setting == "intensity=hu_window":
        assert result.exit_code == 2
        assert result.stderr.count(INFERENCE[setting]) == 3, "once a case"
    else:
        assert_told(result, 2, INFERENCE[setting])
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_left_alone(
    cli: Callable[..., Any], vq3d: Path, tiny_run: Path, tiny_cohort: Path, settings: list[str], tmp_path: Path
) -> None:
    text(tmp_path / "file")
    for arguments in (
        ["infer", "--model", tiny_run, "--cohort", tiny_cohort, "--output", tmp_path / "file"],
        ["train", vq3d, "--cohort", tiny_cohort, "--project-dir", tmp_path / "file", *settings],
        ["phantom", tmp_path / "file"],
    ):
        assert_told(cli(*arguments), 2, "file is a file; give a folder")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "this is no image"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "none"], ("none: not a bundle", "configs/train.json")),
        (["train", "{bundle}", "--fold", "two"], ("fold 'two': give a number, or all",)),
        (["train", "{bundle}", "--config", "none.json"], ("none.json: no such config file",)),
        (
            ["infer", "--model", "{run}", "--output", "out"],
            ("nothing to run over: give cohort, images or dataset_dir",),
        ),
        (["infer", "--model", "{run}", "--output", "out", "--cohort", "none.csv"], ("none.csv: cannot be read",)),
        (
            ["infer", "--model", "{bundle}", "--output", "out", "--image", "a.npy"],
            ("this bundle has no models/model.pt",),
        ),
        (["sheet", "none"], ("scores.csv: no such file; run fracture-vae infer first",)),
        (["cohort", "new", "none"], ("none: no such folder",)),
        (["phantom", "out", "--patients", "1"], ("1 patients cannot fill 5 folds",)),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_what_is_not_there_is_told(
    cli: Callable[..., Any], vq3d: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], parts: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = cli(*(argument.format(bundle=vq3d, run=tiny_run) for argument in arguments))
    assert_told(result, 2, *parts)
    assert not list(tmp_path.iterdir())


def test_a_real_process_says_the_same_and_monai_s_own_command_too(vq3d: Path, tiny_run: Path, tmp_path: Path) -> None:
    cut(tmp_path / "a.nii.gz")
    best = json.loads((tiny_run / "checkpoints" / "best.json").read_text(encoding="utf-8"))[0]["file"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    ours = run("fracture_vae.cli", "infer", "--model", tiny_run, "--output", "out", "--image", "a.nii.gz")
    assert_told(ours, 2, "a.nii.gz: damaged or not a NIfTI file; copy or export it again")
    theirs = run(
        "monai.bundle", "run", "run", "--config_file", vq3d / "configs" / "inference.json",
        "--checkpoint", tiny_run / "checkpoints" / best, "--images", "['a.nii.gz']", "--output_dir", "out",
        "--network_def#channels", "[4,8]", "--network_def#quantizer_options", "{'num_codes':8,'dim':8}",
    )  # fmt: skip
    assert_told(theirs, 2, "a.nii.gz: damaged or not a NIfTI file; copy or export it again")
    assert not (tmp_path / "out").exists()
