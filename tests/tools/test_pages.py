"""What programs write into the pages of docs/ from the figures beside them is what stands there."""

import shutil
from pathlib import Path

from click.testing import CliRunner

from tools.benchmarks import calibration_tables, performance_tables
from tools.benchmarks.detection_pages import write_pages
from tools.benchmarks.family_page import write_page

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_tables_are_those_of_the_figures(tmp_path: Path) -> None:
    for file in (*DOCS.glob("*.md"), *DOCS.glob("*.json")):
        shutil.copy(file, tmp_path)
    write_page(tmp_path)
    write_pages(tmp_path)
    for program in (calibration_tables, performance_tables):
        assert CliRunner().invoke(program.main, ["--docs", str(tmp_path)]).exit_code == 0
    changed = [file.name for file in DOCS.glob("*.md") if file.read_bytes() != (tmp_path / file.name).read_bytes()]
    assert changed == []
