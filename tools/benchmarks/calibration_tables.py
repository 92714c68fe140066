"""Write the tables of docs/calibration.md anew from the JSON files of calibration.py.

python -m tools.benchmarks.calibration_tables
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fracture_vae.files import write_text
from tools.benchmarks.pages import table
from tools.benchmarks.performance_tables import DOCS, placed

FILES = {"drawn": "results_calibration.json", "dealt": "results_calibration_study.json"}


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return a Markdown table of false-alarm rates: a row a design and what counts, a column an alpha."""
    alphas = sorted({row["alpha"] for row in result["rows"]})
    cells = {(row["design"], row["by"], row["alpha"]): row for row in result["rows"]}
    kinds = dict.fromkeys((row["design"], row["by"]) for row in result["rows"])
    head = ["design", "p counts", *(f"α = {alpha}" for alpha in alphas), "patients with q ≤ 0.05"]
    body = [
        [design, f"{by}s", *(_rate(cells[design, by, alpha]) for alpha in alphas), _found(cells[design, by, alphas[0]])]
        for design, by in kinds
    ]
    return table(head, body)


def _rate(row: Mapping[str, Any]) -> str:
    low, high = row["clopper_pearson"]
    return f"{row['rate']:.3f} [{low:.3f}, {high:.3f}]"


def _found(row: Mapping[str, Any]) -> str:
    return f"{row['patients_with_a_discovery']:.3f}"


@click.command(help=__doc__)
@click.option("--docs", type=click.Path(exists=True, path_type=Path), default=DOCS, show_default=True)
def main(docs: Path) -> None:
    page = docs / "calibration.md"
    text = page.read_text(encoding="utf-8")
    for name, file in FILES.items():
        text = placed(text, name, lines(json.loads((docs / file).read_text(encoding="utf-8"))))
    write_text(page, text)
    click.echo(page)


if __name__ == "__main__":
    main()
