"""What a run reached, from its own files."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fracture_vae.errors import InputError
from fracture_vae.files import read_json
from fracture_vae.training.curves import summary
from fracture_vae.training.final_bound import bound_in

FIGURES = ("recon", "kl", "total", "elbo", "nll", "active_units", "seconds")


class Row(NamedTuple):
    """A run in the table: the swept values, the figures it has, and its folder's name.

    ``recon``, ``kl`` and ``total`` are the last validation's means per image, as in log.json; ``elbo`` is
    −(recon + kl), which does not depend on the KL term's weight as ``total`` does; ``nll`` is the bound on -log p(x)
    that a VAE's run ends with; ``seconds`` are the whole run's.
    """

    values: Mapping[str, Any]
    figures: Mapping[str, float]
    run: str


def read_row(values: Mapping[str, Any], run: Path, metric: str | None = None) -> Row:
    """Return the row of a run that came to its end; ``metric``, a column of metrics.csv, is a figure too if given.

    Raises:
        InputError: when the run's metrics.csv or log.json cannot be read.
    """
    rows = read_metrics(run)
    validated = [row for row in rows if row.get("val/recon_loss")]
    log = summary(validated or rows)
    figures: dict[str, float] = {}
    if validated:
        means = log["validation"]
        figures = {
            own: means[name] for own, name in (("recon", "recon"), ("kl", "kl"), ("total", "loss")) if name in means
        }
        if "kl" in figures:
            figures["elbo"] = -(figures["recon"] + figures["kl"])
    for name, column in (("active_units", "val/active_units"), (metric, metric)):
        if name is not None and column is not None and (found := course(rows, column)):
            figures[name] = found[-1][1]
    recorded = read_json(run / "log.json") if (run / "log.json").is_file() else {}  # a bundle may write none
    if (nll := bound_in(recorded)) is not None:
        figures["nll"] = nll
    seconds, summed = recorded.get("seconds"), math.fsum(float(row["seconds"]) for row in rows)
    figures["seconds"] = float(seconds) if isinstance(seconds, int | float) else summed
    return Row(values, figures, run.name)


def read_metrics(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's metrics.csv.

    Raises:
        InputError: when it cannot be read or is damaged.
    """
    path = run / "metrics.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            for value in row.values():
                float(value or 0)
            int(row["epoch"]), float(row["seconds"])
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); remove its run folder to have it run again"
        ) from error
    except (ValueError, TypeError, LookupError, csv.Error) as error:
        raise InputError(f"{path}: damaged; remove its run folder to have it run again") from error
    if not rows:
        raise InputError(f"{path}: has no epochs; remove its run folder to have it run again")
    return rows


def course(rows: Sequence[Mapping[str, str]], column: str) -> list[tuple[int, float]]:
    """Return the epochs that have a value in ``column`` of metrics.csv, and the values."""
    return [(int(row["epoch"]), float(row[column])) for row in rows if row.get(column)]
