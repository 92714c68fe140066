"""A montage: a picture that opens, no weights needed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fracture_vae.report.montage import draw_montage
from fracture_vae.report.recorded import differing, settings
from fracture_vae.training.run_folder import RESOLVED_CONFIG


def test_runs_lie_side_by_side_each_once(vae_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(vae_run, other, ignore=shutil.ignore_patterns("checkpoints"))
    for file in (*other.glob("samples/*"), *other.glob("reconstructions/*")):
        Image.fromarray(np.full((40, 40), 77, np.uint8)).save(file)
    alone, both = tmp_path / "alone.png", tmp_path / "both.png"
    assert draw_montage([vae_run, vae_run], alone) == alone
    draw_montage([vae_run, other], both)
    pixels = np.asarray(Image.open(both).convert("L"))
    left, right = np.array_split(pixels == 77, 2, axis=1)
    assert right.mean() > 0.3
    assert left.mean() < 0.01
    assert not (np.asarray(Image.open(alone).convert("L")) == 77).mean() > 0.01


def test_the_last_epoch_is_shown(vae_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(vae_run, run)
    Image.fromarray(np.full((40, 40), 77, np.uint8)).save(run / "reconstructions" / "epoch_0012.png")
    pixels = np.asarray(Image.open(draw_montage([run], tmp_path / "all.png")).convert("L"))
    assert (pixels == 77).mean() > 0.1


def test_digits_that_stood_in_for_a_data_set_are_a_setting_that_differs(
    train_digits: Callable[..., Path], tmp_path: Path
) -> None:
    run = train_digits("mnist_vae", data="mnist", data_dir=str(tmp_path), latent=2, hidden=[32])
    config = json.loads((run / RESOLVED_CONFIG).read_text(encoding="utf-8"))
    assert config["data"] == "digits", "what it trained on, and would again if it went on"
    other = {**config, "data": "mnist"}
    assert differing([settings(config), settings(other)]) == ["data"]
