"""Runs for the gallery: trained for a blink on scikit-learn's digits, and some that are broken."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.html_page import EVIL

TINY = {
    "data": "digits", "limit": 240, "batch_size": 40, "device": "cpu",
    "precision": "fp32", "compile": False, "progress": False, "save_weights": True, "group": "runs",
}  # fmt: skip


@pytest.fixture(scope="session")
def runs(vq3d: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group of three runs: a VAE of four latents, an autoencoder of two, a VQ-VAE. Not to be changed."""
    from fracture_vae.jobs import train_bundle

    project = tmp_path_factory.mktemp("gallery")
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("mnist_vae", {"run_name": "vae", "latent": 4, "hidden": [32], "max_epochs": 2, "beta": 0.1}),
        ("mnist_ae", {"run_name": "ae", "latent": 2, "hidden": [32], "max_epochs": 1}),
        ("mnist_vq", {"run_name": "vq", "channels": [4, 8], "max_epochs": 1}),
    ]
    for bundle, settings in wanted:
        train_bundle(vq3d.parent / bundle, None, [], {**TINY, "project_dir": str(project), **settings})
    return project / "runs"


@pytest.fixture(scope="session")
def vae(runs: Path) -> Path:
    """The run folder of the VAE. Not to be changed."""
    return next(runs.glob("*-vae"))


@pytest.fixture(scope="session")
def broken_runs(vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group of runs begun, going on, damaged, and named by an attacker. Not to be changed."""
    group = tmp_path_factory.mktemp("broken")
    (group / "20260101-001-begun").mkdir()
    going = shutil.copytree(vae, group / "20260101-002-going")
    meta = json.loads((going / "run_meta.json").read_text(encoding="utf-8"))
    del meta["finished"]
    (going / "run_meta.json").write_text(json.dumps(meta), encoding="utf-8")
    (going / "log.json").unlink()
    shutil.rmtree(going / "checkpoints")
    damaged = shutil.copytree(vae, group / "20260101-003-damaged")
    for name, content in {"run_meta.json": b"{", "log.json": b"[" * 10**5, "metrics.csv": b"epoch\n\xff\x00"}.items():
        (damaged / name).write_bytes(content)
    for path in (*damaged.glob("*/epoch_*.png"), *damaged.glob("checkpoints/*.pt")):
        path.write_bytes(path.read_bytes()[:100])
    evil = shutil.copytree(vae, group / "20260101-004-<script>window.hacked = 1<")
    meta.update(seed=EVIL, git_revision=EVIL, arguments=[EVIL], acceleration=EVIL)
    meta["config"].update({"beta": EVIL, EVIL: 1})
    (evil / "run_meta.json").write_text(json.dumps(meta), encoding="utf-8")
    table = (evil / "metrics.csv").read_text(encoding="utf-8").replace("val/mutual_information", f"val/{EVIL}")
    (evil / "metrics.csv").write_text(table, encoding="utf-8")
    return group
