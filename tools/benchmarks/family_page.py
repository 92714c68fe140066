"""Writes the tables of docs/vae_family.md from the files that tools.benchmarks.family keeps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from fracture_vae.files import read_json, write_text
from tools.benchmarks.family_papers import PAPERS
from tools.benchmarks.pages import table
from tools.benchmarks.performance_tables import placed

PAGE = "vae_family.md"
Rows = Sequence[Mapping[str, Any]]

SCORES = ("l1", "l2", "residual", "code", "both")
"""Scores of the table of detection."""
_FIGURES = {"recon": 1, "kl": 2, "elbo": 1, "nll": 1, "active_units": 1}
"""Figures of a VAE, and the digits shown."""


def variants(result: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of variants."""
    head = ["variant", "reconstruction", "KL", "ELBO", "NLL at most", "active units", "squared error", "s an epoch"]
    body = []
    for (bundle, variant), rows in sorted(_grouped(result["rows"], "bundle", "variant").items(), key=_by_name):
        named = f"`{bundle}`" if variant is None else f"`{bundle}` `{variant}`"
        shown = [_spread(rows, key, digits) for key, digits in _FIGURES.items()]
        body.append([named, *shown, _spread(rows, "squared_error", 4), _spread(rows, "seconds_an_epoch", 1)])
    return [*table(head, body), "", _budget(result)]


def papers(result: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of the papers' networks, each paper's figure beside ours."""
    head = ["model", "NLL at most", "the paper's", "pythae's", "ELBO", "KL", "active units", "distance of samples"]
    body = []
    for (model,), rows in _grouped(result["rows"], "model").items():
        paper = PAPERS[model]
        theirs = f"{paper.nll} ({paper.source})" if paper.nll is not None else ""
        shown = [_spread(rows, key, digits) for key, digits in {"elbo": 1, "kl": 1, "active_units": 1}.items()]
        cells = [model, _spread(rows, "nll", 2), theirs, paper.reproduced, *shown, _spread(rows, "sample_distance", 1)]
        body.append([*cells, _spread(rows, "seconds_an_epoch", 1)])
    first = result["rows"][0]
    net = (
        f" Distance of samples: the classifier knows {100 * first['feature_accuracy']:.1f} % of the test digits; "
        f"training images come to {first['sample_distance_floor']:.2f}."
    )
    return [*table([*head, "s an epoch"], body), "", _budget(result) + net]


def detection(result: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of one-class detection: a column a digit, and the mean over the digits."""
    digits = sorted({row["normal"] for row in result["rows"]})
    head = ["model", "score", "mean of the digits", *map(str, digits)]
    body = []
    for (bundle, variant), rows in _grouped(result["rows"], "bundle", "variant").items():
        for score in SCORES:
            key = f"auroc_{score}"
            by_seed = [{"mean": mean(row[key] for row in own)} for own in _grouped(rows, "seed").values()]
            each = [f"{mean(row[key] for row in own):.2f}" for own in _grouped(rows, "normal").values()]
            body.append([f"`{bundle}` `{variant or '-'}`", score, _spread(by_seed, "mean", 3), *each])
    return [*table(head, body), "", _budget(result)]


TABLES = {"family_variants": variants, "family_papers": papers, "family_detection": detection}


def write_page(docs: Path) -> None:
    """Write anew the tables that ``docs`` has the results of.

    Raises:
        InputError: when the page lacks a table's place.
    """
    text = (docs / PAGE).read_text(encoding="utf-8")
    for name, made in TABLES.items():
        file = docs / f"results_{name}.json"
        if file.is_file():
            text = placed(text, name, made(read_json(file)))
    write_text(docs / PAGE, text)


def _budget(result: Mapping[str, Any]) -> str:
    budget, rows = result["budget"], result["rows"]
    epochs = sorted({row["epochs"] for row in rows})
    named = [key for key in ("model", "bundle", "variant", "normal") if key in rows[0]]
    seeds = sorted({len(own) for own in _grouped(rows, *named).values()})
    images = budget["images"] or "all"
    spent = (
        f"{result['data']}, {images} training images, {_range(epochs)} epochs, {_range(seeds)} seeds: mean ± standard "
        "deviation over the seeds."
    )
    bound = f" NLL: k = {budget['samples']}, {budget['bounded']} test images." if budget["samples"] else ""
    return f"{spent}{bound} {result['machine']['cpu']}, PyTorch {result['torch']}."


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _grouped(rows: Rows, *keys: str) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def _by_name(group: tuple[tuple[Any, ...], Rows]) -> tuple[str, ...]:
    return tuple(name or "" for name in group[0])


def _spread(rows: Rows, key: str, digits: int) -> str:
    values = [row[key] for row in rows if row.get(key) is not None]
    if not values:
        return ""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"
