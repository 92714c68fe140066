"""The 2D bundles: every variant trains, what a run leaves can be used, and what the bundles share stays the same."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from fracture_vae import training
from fracture_vae.bundle import load as load_config
from fracture_vae.errors import InputError
from fracture_vae.jobs import resume_run, train_bundle, training_config, variant_config
from fracture_vae.networks import build_network
from fracture_vae.objectives import negative_log_likelihood
from fracture_vae.training.checkpoints import load
from fracture_vae.training.images import ImageDataset
from fracture_vae.training.study import open_study

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
NAMES = ("mnist_ae", "mnist_vae", "mnist_vq")
VARIANTS = [
    (name, path.stem) for name in NAMES for path in sorted((BUNDLES / name / "configs/variants").glob("*.json"))
]
TINY = {
    "data": "digits",
    "limit": 160,
    "max_epochs": 1,
    "batch_size": 32,
    "device": "cpu",
    "precision": "fp32",
    "compile": False,
    "progress": False,
    "save_weights": True,
}


def config(name: str) -> dict[str, Any]:
    return json.loads((BUNDLES / name / "configs" / "train.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``train(bundle, variant, **settings)`` trains on a few digits and returns the run folder."""

    def run(name: str, variant: str | None = None, **settings: Any) -> Path:
        project = tmp_path_factory.mktemp(name)
        overlays = [variant_config(BUNDLES / name, variant)] if variant else []
        made = {**load_config([training_config(BUNDLES / name), *overlays]), **settings}
        narrow = {"channels": [4, 8]} if made.get("architecture") != "mlp" else {}
        train_bundle(BUNDLES / name, None, overlays, {**TINY, **narrow, "project_dir": str(project), **settings})
        return (project / name / "latest").resolve()

    return run


def matrix_for(name: str, variant: str, folder: Path) -> dict[str, str]:
    """The setting of a matrix to train on, where the variant is for none but matrices."""
    if "standardise" not in json.loads(variant_config(BUNDLES / name, variant).read_text(encoding="utf-8")):
        return {}
    np.save(folder / "few.npy", np.random.default_rng(0).normal(size=(60, 20)))
    return {"data": str(folder / "few.npy")}


def last_row(run: Path) -> dict[str, str]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[-1]


@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=lambda value: value)
def test_every_variant_trains_to_finite_figures_and_a_model_that_loads(
    train: Callable[..., Path], tmp_path: Path, name: str, variant: str
) -> None:
    settings = matrix_for(name, variant, tmp_path)
    run = train(name, variant, **settings)
    row = last_row(run)
    losses = {key: float(value) for key, value in row.items() if key.endswith("_loss") and value}
    assert {"train/recon_loss", "val/recon_loss", "train/total_loss"} <= losses.keys()
    assert all(abs(value) < 1e6 for value in losses.values())
    content = load(run / "checkpoints" / "last.pt")
    about = json.loads(content["about"])
    assert about["bundle"] == name
    assert about["data"]["name"] == ("few.npy" if settings else "digits")
    build_network(**about["network"]).load_state_dict(content["network"])


@pytest.mark.parametrize("name", NAMES)
def test_the_config_has_every_property_monai_asks_for(name: str, tmp_path: Path) -> None:
    workflow = ConfigWorkflow(
        str(BUNDLES / name / "configs" / "train.json"), workflow_type="train", project_dir=str(tmp_path), **TINY
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.bundle_root == str(BUNDLES / name)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_explained(name: str) -> None:
    content = config(name)
    plain = [key for key, value in content.items() if value is None or isinstance(value, str | int | float | bool)]
    assert set(content["_help_"]) <= set(content)
    assert set(plain) - {"resolved_config", "study", "dataset_dir", "run_dir", "network"} <= set(content["_help_"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", ["logging.conf", "metadata.schema.json"])
def test_what_bundles_share_is_the_same_file(name: str, file: str) -> None:
    shared = BUNDLES / "vq3d" / "configs" / file
    assert (BUNDLES / name / "configs" / file).read_bytes() == shared.read_bytes()


def _program(content: dict[str, Any]) -> list[str]:
    """What a bundle's training does, but for checks of what only some have, such as a likelihood."""
    own = ("$training.require_bound(", "$training.require_several(")
    return [step for step in content["training"] if not step.startswith(own)]


def test_the_bundles_are_wired_alike() -> None:
    """No section that two bundles have in common drifts apart; what differs is named here."""
    first, *others = map(config, ("mnist_vae", "mnist_ae", "mnist_vq"))
    shared = (
        "acceleration",
        "accelerated",
        "optimizer_def",
        "gradient_clipping",
        "lr_handler",
        "early_stopping",
        "run_log",
    )
    for other in others:
        for key in (*shared, "initialize"):
            assert other[key] == first[key], key
        assert _program(other) == _program(first)
        for part, engine in (("train", "trainer"), ("validate", "evaluator")):
            assert other[part][engine] == first[part][engine]
            assert other[part]["dataset"] == first[part]["dataset"]
    three = config("vq3d")
    for key in (*shared, "initialize"):
        assert three[key] == first[key], key
    assert three["train"]["trainer"] == first["train"]["trainer"]
    assert three["validate"]["evaluator"] == first["validate"]["evaluator"]


def test_a_run_leaves_curves_pictures_and_its_sum(train: Callable[..., Path]) -> None:
    run = train("mnist_vae", latent=2, max_epochs=2, val_interval=1)
    with (run / "curves" / "train_log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "beta", "recon", "kl", "total"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        parts = float(row["recon"]) + float(row["beta"]) * float(row["kl"])
        assert float(row["total"]) == pytest.approx(parts, rel=1e-4)
    for folder in ("reconstructions", "samples", "traversals"):
        assert [path.name for path in sorted((run / folder).iterdir())] == ["epoch_0001.png", "epoch_0002.png"]
    with Image.open(run / "traversals" / "epoch_0001.png") as picture:
        assert picture.size == (15 * 29 - 1, 15 * 29 - 1)
    log = json.loads((run / "log.json").read_text(encoding="utf-8"))
    assert log["epochs"] == 2
    assert log["recon"] == pytest.approx(float(rows[-1]["recon"]))
    assert log["peak_memory_mib"]["cpu"] > 50
    with Image.open(run / "losses.png") as picture:
        assert picture.size[0] > picture.size[1]
    row = last_row(run)
    assert 0 <= float(row["val/active_units"]) <= 2
    assert float(row["val/mutual_information"]) >= 0


def killed_at_the_end(run: Path) -> dict[str, bytes]:
    """Take away what a run does after its last checkpoint; return what that was, and the epochs' own files."""
    made = {name: (run / name).read_bytes() for name in ("metrics.csv", "log.json", "losses.png")}
    for name in ("log.json", "losses.png"):
        (run / name).unlink()
    meta = json.loads((run / "run_meta.json").read_text(encoding="utf-8"))
    del meta["finished"]
    (run / "run_meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return made


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_epochs": 9, "patience": 1, "learning_rate": 1e-12}],
    ids=["all epochs", "stopped early"],
)
def test_a_run_killed_after_its_last_epoch_is_finished_and_trains_no_more(
    train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(train("mnist_ae", **settings), run)
    before = killed_at_the_end(run)
    monkeypatch.chdir(tmp_path)
    resume_run(run, {})
    assert (run / "metrics.csv").read_bytes() == before["metrics.csv"]
    was, now = (json.loads(text) for text in (before["log.json"], (run / "log.json").read_bytes()))
    for log in (was, now):
        del log["peak_memory_mib"]
    assert now == was
    assert (run / "losses.png").read_bytes() == before["losses.png"]
    with pytest.raises(InputError, match="it is done"):
        resume_run(run, {})


def test_a_matrix_given_relative_to_one_folder_is_found_from_another(
    train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(60, 20)))
    monkeypatch.chdir(tmp_path)
    run = train("mnist_vae", "vectors", data="few.npy", data_dir="images")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resume_run(run, {"max_epochs": 2})
    assert last_row(run)["epoch"] == "2"
    config = json.loads((run / "bundle/configs/resolved.json").read_text(encoding="utf-8"))
    assert (config["data"], config["data_dir"]) == (str(tmp_path / "few.npy"), str(tmp_path / "images"))


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True])
def test_a_seed_out_of_range_is_refused(seed: Any) -> None:
    with pytest.raises(InputError, match="seed is "):
        training.seed(seed)


def test_a_variant_trains_without_a_word_on_where_its_config_lies(
    train: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    train("mnist_ae", "sparse", save_weights=False)
    assert not [record for record in caplog.records if "Not all config files" in record.getMessage()]


def test_a_vae_run_ends_with_the_bound_on_its_likelihood(train: Callable[..., Path]) -> None:
    run = train("mnist_vae", nll_samples=20, nll_images=50)
    content = load(run / "checkpoints" / "last.pt")
    network = build_network(**json.loads(content["about"])["network"]).eval()
    network.load_state_dict(content["network"])
    images = ImageDataset(open_study("digits", "").validate, limit=50)
    torch.manual_seed(1)
    here, elbo = (negative_log_likelihood(network, images.images.float() / 255, samples=k).mean() for k in (20, 1))
    nll = json.loads((run / "log.json").read_text(encoding="utf-8"))["validation"]["nll"]
    assert abs(nll - here) < 0.2 * (elbo - here), "up to the draws, and not the ELBO"
    assert "nll" not in json.loads((train("mnist_vae", nll_samples=0) / "log.json").read_text("utf-8"))["validation"]
    assert "nll" not in json.loads((train("mnist_ae") / "log.json").read_text("utf-8"))["validation"]


def test_weights_are_kept_only_when_asked_for(train: Callable[..., Path]) -> None:
    assert not list(train("mnist_ae", save_weights=False).rglob("*.pt"))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("mnist_ae", 50, 784), ("mnist_vae", 200, 784), ("mnist_vq", 50, 784)],
    ids=NAMES,
)
def test_figures_are_per_image_whatever_batch_size_and_reduction(
    train: Callable[..., Path], name: str, low: float, high: float
) -> None:
    """Validation, before anything is learnt: about ln 2, or at most 1, for each of 784 values."""
    still = {"learning_rate": 1e-12, "save_weights": False}
    choices = [("sum", 16), ("mean", 64)]
    runs = [train(name, reduction=reduction, batch_size=size, **still) for reduction, size in choices]
    recon = [float(last_row(run)["val/recon_loss"]) for run in runs]
    assert recon == pytest.approx([recon[0]] * 2, rel=3e-2), "up to draws of the posterior and batch norm's statistics"
    assert low < recon[0] < high


COLLAPSING = {
    "beta": 4.0, "latent": 2, "likelihood": "gaussian", "limit": None, "max_epochs": 4, "save_weights": False,
}  # fmt: skip
"""A latent of variance v in the pixels pays while v > β (Lucas et al. 2019); the digits' largest are 5.5 and 5.0."""
CURES = {
    "free bits": {"free_bits": 1.0},
    "free bits, mean": {"free_bits": 1.0, "reduction": "mean", "beta": 4 / 784},
    "batch norm": {"posterior": "batch_norm", "kl_floor": 3.0},
}


def kl_by_epoch(run: Path) -> list[float]:
    """KL divergence after each epoch, nats an image of the validation part."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [float(row["val/kl_loss"]) for row in csv.DictReader(file)]


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "posterior collapse" in line]


def test_beta_4_collapses_the_posterior_and_one_warning_names_the_remedies(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert kl_by_epoch(train("mnist_vae", **COLLAPSING))[-1] < 0.5
    (warned,) = warnings(capsys)
    assert "Lower beta" in warned
    assert "free bits" in warned
    assert "a higher KL weight makes it worse" in warned


@pytest.mark.parametrize("cure", CURES)
def test_free_bits_and_batch_norm_prevent_the_collapse(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str], cure: str
) -> None:
    assert kl_by_epoch(train("mnist_vae", **{**COLLAPSING, **CURES[cure]}))[-1] > 1.5
    assert warnings(capsys) == []


def test_annealing_to_beta_2_prevents_the_collapse_of_the_first_epochs(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """At the same β in the end: there a code pays, but a KL term at full weight from the start is soon at 0.

    Bowman et al. 2016 (arXiv:1511.06349, section 3.1) anneal for this reason. What collapsed so recovers, slowly.
    """
    settings = {**COLLAPSING, "beta": 2.0, "max_epochs": 5}
    plain = kl_by_epoch(train("mnist_vae", **settings))
    assert max(plain[:2]) < 0.8 < plain[-1]
    assert len(warnings(capsys)) == 1
    run = train("mnist_vae", **settings, beta_schedule="linear", beta_start=0.5, beta_epochs=4)
    assert float(last_row(run)["train/beta"]) == 2
    assert min(kl_by_epoch(run)) > 1
    assert warnings(capsys) == []


def test_annealing_to_beta_4_delays_the_collapse_and_does_not_prevent_it(train: Callable[..., Path]) -> None:
    """At β = 4 nearly no code pays, however it came about; only a floor under the KL divergence keeps one."""
    rise = {"beta_schedule": "linear", "beta_start": 0.25, "beta_epochs": 6}
    kl = kl_by_epoch(train("mnist_vae", **{**COLLAPSING, "max_epochs": 9}, **rise))
    assert min(kl[:2]) > 1.5
    assert kl[-1] < 0.6


def test_same_seed_same_weights(train: Callable[..., Path]) -> None:
    a, b = (load(train("mnist_vae") / "checkpoints" / "last.pt")["network"] for _ in range(2))
    assert all(torch.equal(a[key], b[key]) for key in a)
