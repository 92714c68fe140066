"""What programs write into the pages of docs/ from the figures beside them is what stands there."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fracture_vae.files import read_json
from tools.benchmarks import calibration_tables, detection_page, detection_spines_page, performance_tables
from tools.benchmarks.family_page import write_page

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "figures", "write"),
    [
        ("results.md", "results_detection.json", detection_page.page),
        ("results_spines.md", "results_detection_spines.json", detection_spines_page.page),
    ],
)
def test_a_page_is_what_its_program_makes_of_the_figures(
    page: str, figures: str, write: Callable[[Mapping[str, Any]], str]
) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == write(read_json(DOCS / figures))


def test_tables_are_those_of_the_figures(tmp_path: Path) -> None:
    for file in (*DOCS.glob("*.md"), *DOCS.glob("*.json")):
        shutil.copy(file, tmp_path)
    write_page(tmp_path)
    for program in (calibration_tables, performance_tables):
        assert CliRunner().invoke(program.main, ["--docs", str(tmp_path)]).exit_code == 0
    changed = [file.name for file in DOCS.glob("*.md") if file.read_bytes() != (tmp_path / file.name).read_bytes()]
    assert changed == []
