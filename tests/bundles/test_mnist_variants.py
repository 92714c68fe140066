"""What each variant of the 2D bundles makes of the objects that the config builds."""

import functools
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from fracture_vae.jobs import variant_config

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
EFFECTS: dict[tuple[str, str], list[tuple[str, Any]]] = {
    ("mnist_ae", "conv"): [("network.config.architecture", "conv")],
    ("mnist_ae", "deep"): [("network.config.hidden", (512, 256, 128)), ("network.config.activation", "gelu")],
    ("mnist_ae", "denoising"): [("objective.noise_std", 0.3)],
    ("mnist_ae", "denoising_coarse"): [("corruption_def.cell", 4)],
    ("mnist_ae", "self_supervised"): [("corruption_def.clean", 0.1)],
    ("mnist_ae", "linear"): [("network.config.hidden", ())],
    ("mnist_ae", "one_class"): [("network.config.norm", "batch"), ("lr_schedule", "cosine")],
    ("mnist_ae", "perceptual"): [("objective.perceptual.__class__.__name__", "FeatureDistance")],
    ("mnist_ae", "rae_gp"): [("objective.penalty", "gradient"), ("objective.weight", 1e-4)],
    ("mnist_ae", "rae_l2"): [("objective.penalty", "l2"), ("weight_decay", 1e-6)],
    ("mnist_ae", "sparse"): [("objective.penalty", "l1"), ("network.config.latent", 64)],
    ("mnist_ae", "vectors"): [("vector_plan.output", "identity"), ("vector_plan.standardise", "zscore")],
    ("mnist_vae", "adaptive"): [("kl_plan.schedule", "adaptive"), ("kl_plan.kl_target", 20.0)],
    ("mnist_vae", "batch_norm"): [("network.head.__class__.__name__", "BatchNormHead")],
    ("mnist_vae", "bernoulli"): [("objective._negative_log_likelihood.__name__", "bernoulli")],
    ("mnist_vae", "beta"): [("network.config.hidden", (4096, 2048, 1024, 512)), ("kl_plan.beta", 1e-3)],
    ("mnist_vae", "beta4"): [("kl_plan.beta", 4.0), ("objective._negative_log_likelihood.__name__", "gaussian")],
    ("mnist_vae", "capacity"): [("kl_plan.capacity", 25.0), ("kl_plan.beta", 10.0), ("objective.has_capacity", True)],
    ("mnist_vae", "conv"): [("network.config.architecture", "conv"), ("network.config.extra_stage", True)],
    ("mnist_vae", "cosine_annealing"): [("kl_plan.schedule", "cosine")],
    ("mnist_vae", "cyclical_annealing"): [("kl_plan.schedule", "cyclical"), ("kl_plan.epochs", 20)],
    ("mnist_vae", "delta"): [("network.head.__class__.__name__", "DeltaHead")],
    ("mnist_vae", "free_bits"): [("objective.free_bits", 0.5)],
    ("mnist_vae", "gaussian"): [("objective._negative_log_likelihood.__name__", "gaussian")],
    ("mnist_vae", "info_vae"): [("objective.__class__.__name__", "InfoVAE"), ("kl_plan.beta", 0.5)],
    ("mnist_vae", "iwae"): [("objective.__class__.__name__", "IWAE"), ("objective.samples", 5)],
    ("mnist_vae", "lightweight"): [("network.config.hidden", (1024, 512)), ("network.config.activation", "leakyrelu")],
    ("mnist_vae", "linear_annealing"): [("kl_plan.schedule", "linear")],
    ("mnist_vae", "mean"): [("kl_plan.beta", 0.0012755)],
    ("mnist_vae", "modulated"): [("network.decoder.__class__.__name__", "ModulatedDecoder")],
    ("mnist_vae", "one_class"): [("network.config.norm", "batch"), ("lr_schedule", "cosine")],
    ("mnist_vae", "perceptual"): [("objective.perceptual.__class__.__name__", "FeatureDistance")],
    ("mnist_vae", "skip"): [("kl_plan.delay", 5)],
    ("mnist_vae", "standard"): [("network.config.hidden", (2048, 1024, 512)), ("network.config.dropout", 0.1)],
    ("mnist_vae", "vectors"): [("vector_plan.output", "identity"), ("vector_plan.standardise", "zscore")],
    ("mnist_vae", "vamp"): [("network.prior.__class__.__name__", "VampPrior")],
    ("mnist_vq", "fsq"): [("network.quantizer.__class__.__name__", "FiniteScalarQuantizer")],
    ("mnist_vq", "gradient"): [("network.quantizer.ema", False)],
    ("mnist_vq", "l2"): [("objective.fidelity.distance", "l2")],
    ("mnist_vq", "one_class"): [("network.downsampling", 16), ("network.quantizer.num_codes", 512)],
    ("mnist_vq", "perceptual"): [("objective.perceptual.__class__.__name__", "FeatureDistance")],
}
"""What each variant makes of an object the config builds; the plain bundle has another value there."""


@functools.cache
def parsed(name: str, variant: str | None) -> ConfigParser:
    """The config of a bundle with a variant's overlay, merged by MONAI."""
    overlays = [variant_config(BUNDLES / name, variant)] if variant else []
    parser = ConfigParser()
    parser.read_config([BUNDLES / name / "configs" / "train.json", *overlays])
    parser.update({"data": "digits", "limit": 32, "device": "cpu"})
    return parser


def built(name: str, variant: str | None, path: str) -> Any:
    """An attribute of what the config builds, such as ``objective.free_bits``; None where there is none."""
    first, *names = path.split(".")
    return functools.reduce(
        lambda found, attribute: getattr(found, attribute, None), names, parsed(name, variant).get_parsed_content(first)
    )


@pytest.mark.parametrize(
    ("name", "variant"),
    [(file.parents[2].name, file.stem) for file in sorted(BUNDLES.glob("mnist_*/configs/variants/*.json"))],
    ids=lambda value: value,
)
def test_every_variant_changes_what_is_built(name: str, variant: str) -> None:
    for path, value in EFFECTS[name, variant]:
        assert built(name, variant, path) == value
        assert built(name, None, path) != value


def test_an_unknown_variant_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no variant 'free_bit'; it has .*free_bits.*did you mean 'free_bits'"):
        variant_config(BUNDLES / "mnist_vae", "free_bit")
