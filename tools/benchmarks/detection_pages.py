"""The pages of docs/ on detection, made of the figures there.

python -m tools.benchmarks.detection_pages docs
"""

from pathlib import Path
from typing import Any

import click

from fracture_vae.files import read_json, write_text
from tools.benchmarks import detection_page, detection_selection_page, detection_spines_page
from tools.benchmarks.detection_overview import overview

DETECTION = "results_detection.json"
SELECTION = "results_selection.json"
SPINES, DIGITS = "results_detection_spines.json", "results_family_detection.json"


def write_pages(docs: Path) -> None:
    """Write results.md, results_spines.md and results_selection.md anew, of what ``docs`` has the figures of."""
    volumes, spines, digits, selection = (_read(docs / name) for name in (DETECTION, SPINES, DIGITS, SELECTION))
    above = overview(volumes, spines, digits)
    write_text(docs / "results.md", detection_page.page(volumes, above))
    if spines:
        write_text(docs / "results_spines.md", detection_spines_page.page(spines))
    if selection:
        write_text(docs / "results_selection.md", detection_selection_page.page(selection))


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


@click.command(help=__doc__)
@click.argument("docs", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(docs: Path) -> None:
    write_pages(docs)


if __name__ == "__main__":
    main()
