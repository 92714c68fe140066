"""The tables of docs/vae_family.md: every variant of the 2D bundles on MNIST, the networks of papers, and anomalies.

    python -m tools.benchmarks.family [--budget quick|middle|full] [--part variants|papers|detection]

Each run's figures are kept as they come, in docs/results_family_PART.json: called again, it goes on where it was. For
likelihoods images are binarised: at ½ for the variants, by draws from the grey values for the papers' networks, as in
the papers. Anomalies, other digits than one, are sought in grey images. Figures are of the test part, after the last
epoch.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from torch import Tensor

from fracture_vae.cohort.images import images_folder
from fracture_vae.errors import InputError
from fracture_vae.evaluation.auroc import auroc
from fracture_vae.files import read_json, write_text
from fracture_vae.networks import VAE, VQVAE, Autoencoder
from fracture_vae.training.images import ImageDataset
from fracture_vae.training.study import Study, open_study
from tools.benchmarks.family_features import FeatureNet, floor, sample_distance, train_features
from tools.benchmarks.family_page import write_page
from tools.benchmarks.family_papers import PAPERS
from tools.benchmarks.family_runs import BUNDLES, anomaly_scores, figures, train
from tools.benchmarks.novelty import Novelty
from tools.benchmarks.timing import machine

DOCS = Path(__file__).resolve().parents[2] / "docs"
MATRIX_VARIANTS = ("vectors", "standard", "beta", "lightweight")
"""Of `mnist_vae` and `mnist_ae`, for matrices and not for images."""
DETECTORS = (("mnist_ae", "one_class"), ("mnist_vae", "one_class"), ("mnist_vq", "one_class"), ("mnist_vq", None))


class Budget(NamedTuple):
    """How much is spent on a table."""

    images: int | None
    """Of an epoch at most; None is all."""
    epochs: int
    seeds: int
    samples: int
    """k of the importance-weighted bound."""
    bounded: int
    """Test images that bound is taken of."""


Job = dict[str, Any]
"""What names a run: bundle, variant, seed and, for detection, the normal digit."""

BUDGETS = ("quick", "middle", "full")
PARTS: dict[str, tuple[Budget, Budget, Budget]] = {
    "variants": (Budget(6000, 5, 3, 50, 500), Budget(20_000, 10, 3, 200, 1000), Budget(None, 50, 5, 500, 10_000)),
    "papers": (Budget(6000, 5, 3, 200, 500), Budget(20_000, 10, 3, 500, 1000), Budget(None, 100, 3, 5000, 10_000)),
    "detection": (Budget(3000, 8, 3, 0, 0), Budget(None, 20, 3, 0, 0), Budget(None, 50, 3, 0, 0)),
}
"""By part: the budgets, in the order of their names."""


def jobs(part: str, seeds: int) -> list[Job]:
    """Return the runs of a table, seed by seed, so that one that is broken off has whole seeds."""
    kinds: list[Job]
    if part == "papers":
        kinds = [{"model": model} for model in PAPERS]
    elif part == "detection":
        kinds = [{"bundle": b, "variant": v, "normal": digit} for b, v in DETECTORS for digit in range(10)]
    else:
        kinds = [
            {"bundle": bundle, "variant": variant}
            for bundle in ("mnist_ae", "mnist_vae", "mnist_vq")
            for variant in (None, *_variants(bundle))
        ]
    return [{**kind, "seed": seed} for seed in range(seeds) for kind in kinds]


def _variants(bundle: str) -> list[str]:
    names = sorted(path.stem for path in (BUNDLES / bundle / "configs" / "variants").glob("*.json"))
    return [name for name in names if name not in MATRIX_VARIANTS]


def measured(job: Job, budget: Budget, study: Study, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train one run and return its figures."""
    detection, paper = "normal" in job, PAPERS[job["model"]] if "model" in job else None
    own = {
        **settings,
        **(paper.settings if paper else {}),
        "seed": job["seed"],
        "limit": budget.images,
        "max_epochs": budget.epochs,
        "val_interval": budget.epochs,  # and so no epoch is chosen by its validation
        "binarize": not detection,
        "binarize_by": "drawn" if paper else "middle",
        "normal": [job["normal"]] if detection else None,
    }
    done = train("mnist_vae", paper.variant, own) if paper else train(job["bundle"], job["variant"], own)
    cost = {"epochs": done.epochs, "seconds_an_epoch": done.seconds_an_epoch}
    if not detection:
        bits = ImageDataset(study.test, binarize=True, binarize_by=own["binarize_by"]).images.float() / 255
        found = figures(done.network, bits, "bernoulli_logits", budget.samples, budget.bounded)
        if paper and isinstance(done.network, VAE):
            net = features(study)
            found |= {"sample_distance": sample_distance(done.network, study, net), "feature_accuracy": net.accuracy}
            found["sample_distance_floor"] = floor(study, net)
        return {**cost, **found}
    seen, held_out, images = (
        ImageDataset(part, normal, limit=limit).images.float() / 255
        for part, normal, limit in (
            (study.train, own["normal"], budget.images), (study.validate, own["normal"], None), (study.test, None, None)
        )
    )  # fmt: skip
    abnormal = (study.test.labels != job["normal"]).astype(np.int_)
    if not isinstance(done.network, Autoencoder | VAE | VQVAE):
        raise TypeError(f"no code is known of a {type(done.network).__name__}")
    scores = anomaly_scores(done.network, images, Novelty(done.network, seen, held_out))
    return {**cost, **{f"auroc_{name}": _auroc(abnormal, values) for name, values in scores.items()}}


_NETS: dict[str, FeatureNet] = {}


def features(study: Study) -> FeatureNet:
    """Return the classifier that distances of samples are measured with, trained once."""
    if study.sha256 not in _NETS:
        _NETS[study.sha256] = train_features(study)
    return _NETS[study.sha256]


def _auroc(labels: np.ndarray, scores: Tensor) -> float:
    return auroc(labels, scores.double().numpy())


def work_off(
    path: Path, wanted: Iterable[Job], budget: Budget, data: str, measure: Callable[[Job], Mapping[str, Any]]
) -> dict[str, Any]:
    """Measure the jobs that ``path`` has no row of, writing it after each, and return its content.

    Raises:
        InputError: when ``path`` was made with another budget or data set.
    """
    fresh: dict[str, Any] = {
        "machine": machine(),
        "torch": torch.__version__,
        "data": data,
        "budget": budget._asdict(),
        "rows": [],
    }
    result = read_json(path) if path.is_file() else fresh
    for key in ("data", "budget"):
        if result.get(key) != fresh[key]:
            raise InputError(
                f"{path}: made with another {key} ({result.get(key)}); move it away, or give another --docs"
            )
    names = ("model", "bundle", "variant", "normal", "seed")
    known = [{key: row[key] for key in names if key in row} for row in result["rows"]]
    for job in wanted:
        if job in known:
            continue
        row = {**job, **measure(job)}
        click.echo(json.dumps(row))
        result["rows"].append(row)
        write_text(path, json.dumps(result, indent=1) + "\n")
    return result


@click.command(help=__doc__)
@click.option("--budget", "spent", type=click.Choice(BUDGETS), default="full", show_default=True)
@click.option("--part", type=click.Choice([*PARTS, "all"]), default="all", show_default=True)
@click.option("--docs", type=click.Path(exists=True, path_type=Path), default=DOCS, help="Folder of vae_family.md.")
@click.option("--data", default="mnist", show_default=True, help="A data set, or digits.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=images_folder, help="Folder that holds it.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=JSON", help="A setting of every run. Repeatable.")
def main(spent: str, part: str, docs: Path, data: str, data_dir: Path, overrides: tuple[str, ...]) -> None:
    study = open_study(data, data_dir)
    pairs = (override.partition("=")[::2] for override in overrides)
    settings = {"data": data, "data_dir": str(data_dir), **{key: json.loads(value) for key, value in pairs}}
    for name in PARTS if part == "all" else (part,):
        budget = PARTS[name][BUDGETS.index(spent)]
        work_off(
            docs / f"results_family_{name}.json", jobs(name, budget.seeds), budget, study.name,
            lambda job, budget=budget: measured(job, budget, study, settings),  # type: ignore[misc]
        )  # fmt: skip
    write_page(docs)


if __name__ == "__main__":
    main()
