"""The comparison with the reference study says what the documentation quotes."""

import re
from pathlib import Path

import pytest

from tools import reference_folds

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cohorts.md"


def test_the_documentation_quotes_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    reference_folds.main()
    printed = capsys.readouterr().out
    quoted = DOCS.read_text(encoding="utf-8")
    imbalances = re.findall(r"(?:cases² |folds |imbalance |median |best )(\d+\.\d)", printed)
    assert len(imbalances) == 5
    assert all(f"| {number} |" in quoted for number in imbalances)
    for line in re.findall(r"normals to train on +(.*)", printed):
        assert ", ".join(line.split()) in quoted
    for line in re.findall(r"all levels +(.*)", printed):
        assert ", ".join(re.findall(r"/ (\d+)", line)[:5]) in quoted
    assert f"it is {re.findall(r'AUROC .*: (.*)', printed)[0]}." in quoted
