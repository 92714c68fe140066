"""Every variant of vq3d trains, changes what is built, and leaves a model that comes back."""

import csv
import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fracture_vae.bundle import load as load_config
from fracture_vae.cohort.case import Case
from fracture_vae.cohort.manifest import Cohort
from fracture_vae.errors import InputError
from fracture_vae.jobs import resume_run, train_bundle, variant_config, variant_configs
from fracture_vae.networks import Detector, build_network
from fracture_vae.training.checkpoints import load

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "vq3d"
WITHOUT_CODES = {"channels", "dropout", "quantizer_options"}
"""Settings that a variant without a VQ-VAE has no use for, and refuses."""
VARIANTS = sorted(path.stem for path in (BUNDLE / "configs" / "variants").glob("*.json"))


def based_on(variant: str) -> set[str]:
    """The variants it builds on, and itself."""
    return {path.stem for path in variant_configs(BUNDLE, variant)}


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, Any], tiny_cohort: Path) -> Callable[[str], Path]:
    """``run_of(variant)`` is the folder of a run of two epochs; trained once, not to be changed."""

    @functools.cache
    def run(variant: str) -> Path:
        project = tmp_path_factory.mktemp(variant)
        own = json.loads(variant_config(BUNDLE, variant).read_text(encoding="utf-8"))  # what it is for stays as it is
        unused = WITHOUT_CODES if variant in ("prior", "unet_denoising", "head_alone") else set()
        settings = {key: value for key, value in tiny.items() if key not in own.keys() | unused}
        if "vqvae_checkpoint" in own:
            settings["vqvae_checkpoint"] = str(run("denoising"))
        where = {"cohort": str(tiny_cohort), "project_dir": str(project)}
        train_bundle(BUNDLE, "1", variant_configs(BUNDLE, variant), {**where, **settings})
        return (project / "vq3d" / "latest").resolve()

    return run


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains_to_finite_losses_and_a_model_that_loads(
    run_of: Callable[[str], Path], variant: str
) -> None:
    run = run_of(variant)
    assert run.name.endswith(f"-{variant}_fold1")
    losses = {key: float(value) for key, value in rows(run)[-1].items() if key.endswith("_loss")}
    chosen_by = parsed(variant).get("key_term")
    assert {f"train/{chosen_by}_loss", f"val/{chosen_by}_loss", "train/total_loss"} <= losses.keys()
    assert all(abs(value) < 100 for value in losses.values())
    content = load(run / "checkpoints" / "last.pt")
    network = build_network(**json.loads(content["about"])["network"])
    network.load_state_dict(content["network"])


PLAIN = [
    ("network_def.__class__.__name__", "VQVAE"),
    ("objective.term_names", ("total", "recon", "vq", "structure", "perceptual")),
]
EFFECTS: dict[str, list[tuple[str, Any]]] = {
    "bottleneck_8x": [("network_def.downsampling", 8)],
    "bottleneck_32x": [("network_def.downsampling", 32)],
    "codes_64": [("network_def.quantizer.num_codes", 64)],
    "codes_2048": [("network_def.quantizer.num_codes", 2048)],
    "denoising": [("corruption_def.__class__.__name__", "CoarseNoise")],
    "discriminative": [("network_def.sees_difference", True)],
    "head_alone": [("network_def.reconstructor", None), ("objective.term_names", ("total", "segmentation"))],
    "level": [("network_def.level.levels", 29), ("network_def.takes_level", True)],
    "masked": [("corruption_def.__class__.__name__", "MaskedBlocks")],
    "prior": [("key_term", "nll"), ("score", "code_likelihood"), ("learning_rate", 0.001)],
    "reconstruction": [
        *PLAIN,
        ("corruption_def", None),
        ("composition.name", "l1"),
        ("key_term", "recon"),
    ],
    "self_supervised": [*PLAIN, ("corruption_def.__class__.__name__", "Mixture")],
    "unet_denoising": [
        ("network_def.__class__.__name__", "UNet"),
        ("objective.__class__.__name__", "Reconstruction"),
        ("corruption_def.__class__.__name__", "CoarseNoise"),
    ],
}
"""What each variant makes of an object the config builds; the bundle without one has another value there."""


SCAN = Case(case_id="a", patient_id="a", image=Path("a.nii.gz"))
VERTEBRA = replace(SCAN, level="L1", crop="{}")


@functools.cache
def parsed(variant: str | None, case: Case = SCAN) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([BUNDLE / "configs" / "train.json", *(variant_configs(BUNDLE, variant) if variant else ())])
    parser.update({"device": "cpu", "cohort_table": Cohort(Path("cohort.csv"), (case,))})
    return parser


def built(variant: str | None, path: str) -> Any:
    """An attribute of what the config builds, such as ``network_def.level.levels``; None where there is none."""
    first, *names = path.split(".")
    return functools.reduce(
        lambda found, name: getattr(found, name, None), names, parsed(variant).get_parsed_content(first)
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_changes_what_is_built(variant: str) -> None:
    for path, value in EFFECTS[variant]:
        assert built(variant, path) == value
        assert built(None, path) != value


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"discriminative", "unet_denoising", "head_alone", "prior"}))
def test_the_variants_of_the_vqvae_alone_have_no_head(variant: str) -> None:
    for path, value in PLAIN:
        assert built(variant, path) == value
    assert built(variant, "composition.name") == "l1"


def test_without_a_variant_a_head_that_sees_the_image_stands_beside_the_vqvae() -> None:
    assert built(None, "network_def.__class__.__name__") == "Detector"
    assert built(None, "network_def.sees_difference") is False
    assert built(None, "network_def.reconstructor.__class__.__name__") == "VQVAE"
    assert built(None, "objective.term_names") == (*PLAIN[1][1], "segmentation")
    assert built(None, "objective.segmentation.loss") == "bce"
    assert built(None, "corruption_def.__class__.__name__") == "Repeated"
    assert (built(None, "composition.name"), built(None, "composition.flips")) == ("head", ())
    assert built(None, "key_term") == "segmentation"


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "reconstruction" in based_on(name)])
def test_what_is_built_on_the_plain_vqvae_trains_alike_on_any_cohort(variant: str) -> None:
    of_head = {"suited", "score", "segmentation_loss", *(f"head_{name}" for name in ("channels", "units", "window"))}
    for name in {*parsed(variant)["suits"]["any"], "augmentation"} - of_head:
        if name in parsed(variant).config:
            one, other = (parsed(variant, case).get_parsed_content(name) for case in (SCAN, VERTEBRA))
            assert one == other, name


def test_a_head_that_sees_the_image_learns_the_same_with_and_without_a_vqvae_beside_it(
    run_of: Callable[[str], Path], tmp_path: Path, tiny: dict[str, Any], tiny_cohort: Path
) -> None:
    train_bundle(BUNDLE, "1", [], {**tiny, "cohort": str(tiny_cohort), "project_dir": str(tmp_path)})
    both = load((tmp_path / "vq3d" / "latest").resolve() / "checkpoints" / "last.pt")["network"]
    alone = load(run_of("head_alone") / "checkpoints" / "last.pt")["network"]
    assert any(name.startswith("reconstructor.") for name in both)
    assert alone.keys() == {name for name in both if name.startswith("head.")}
    assert all(torch.equal(both[name], weights) for name, weights in alone.items())


def test_a_run_goes_on_with_what_its_cohort_chose_whatever_the_cohort_is_now(
    run_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(run_of("head_alone"), tmp_path / "run"))
    suits = load_config([BUNDLE / "configs" / "train.json"])["suits"]
    monkeypatch.setattr("fracture_vae.training.suited", lambda suits, _: suits["vertebra"])
    resume_run(run, {"max_epochs": 3})
    began = json.loads((run / "run_meta.json").read_text(encoding="utf-8"))
    for config in (began["config"], began["resumed"][0]["config"]):
        assert config["suited"] == suits["any"]
        assert (config["learning_rate"], config["corruption"]) == (0.01, suits["any"]["corruption"])
        assert config["augmentation"]["rotate_degrees"] == suits["any"]["rotate_degrees"]
    assert len(rows(run)) == 3


@pytest.mark.parametrize("name", ["variants/denoising.json", "monai_data.json"])
def test_an_overlay_without_the_one_it_builds_on_is_refused(name: str) -> None:
    configs = BUNDLE / "configs"
    with pytest.raises(InputError, match=r"builds on reconstruction\.json; give that one before it"):
        load_config([configs / "train.json", configs / name])
    assert load_config([configs / "train.json", configs / "variants" / "reconstruction.json", configs / name])


def test_a_discriminative_run_logs_its_head_and_chooses_by_it(run_of: Callable[[str], Path]) -> None:
    run = run_of("discriminative")
    for row in rows(run):
        for part in ("train", "val"):
            total, *terms = (float(row[f"{part}/{name}_loss"]) for name in ("total", "recon", "vq", "segmentation"))
            assert total == pytest.approx(sum(terms))
            assert float(row[f"{part}/perplexity"]) >= 1, "the codebook inside the detector is watched"
    best = json.loads((run / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    validated = sorted(float(row["val/segmentation_loss"]) for row in rows(run))
    assert [entry["value"] for entry in best] == pytest.approx(validated)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert {"train/segmentation_loss", "val/segmentation_loss"} <= set(events.Tags()["scalars"])
    shown = ("original", "corrupted", "recon", "error", "probability", "anomaly")
    assert set(events.Tags()["images"]) == {f"val/{name}_slice" for name in shown}


def trained(run: Path) -> Detector:
    content = load(run / "checkpoints" / "last.pt")
    network = build_network(**json.loads(content["about"])["network"])
    assert isinstance(network, Detector)
    network.load_state_dict(content["network"])
    return network.eval()


def test_the_codebook_inside_a_detector_starts_from_data(run_of: Callable[[str], Path]) -> None:
    assert not trained(run_of("discriminative")).reconstructor.quantizer.needs_vectors


def test_a_trained_detector_is_exported_and_agrees(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    network, image = trained(run_of("discriminative")), torch.rand(1, 1, 16, 16, 16)
    torch.export.save(torch.export.export(network, (image,)), tmp_path / "model.pt2")
    torch.jit.save(torch.jit.trace(network, image), tmp_path / "model.ts")
    with torch.no_grad():
        for loaded in (torch.export.load(tmp_path / "model.pt2").module(), torch.jit.load(tmp_path / "model.ts")):
            torch.testing.assert_close(loaded(image), network(image), atol=1e-5, rtol=0)


def test_a_run_with_a_head_goes_on_as_if_never_stopped(tmp_path: Path, tiny: dict[str, Any], tiny_cohort: Path) -> None:
    settings = {**tiny, "cohort": str(tiny_cohort), "project_dir": str(tmp_path), "lr_schedule": "constant"}
    train_bundle(BUNDLE, "1", [], {**settings, "max_epochs": 1})
    run = (tmp_path / "vq3d" / "latest").resolve()
    resume_run(run, {"max_epochs": 2})
    train_bundle(BUNDLE, "1", [], {**settings, "run_name": "whole"})
    whole = (tmp_path / "vq3d" / "latest").resolve()
    first, second = (load(folder / "checkpoints" / "last.pt")["network"] for folder in (run, whole))
    assert all(torch.equal(first[name], second[name]) for name in second)
