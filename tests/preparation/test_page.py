"""The quality page as a browser and a spreadsheet read it."""

import csv
from pathlib import Path
from urllib.parse import unquote

import pytest

from fracture_vae.preparation import kinds
from fracture_vae.preparation.finding import Finding
from fracture_vae.preparation.page import ScanSummary, write_page
from tests.html_page import Page

ODD = 'a<script>alert("1")</script> & co'
SCANS = [
    ScanSummary("b", "late", ("L1", "L2"), (40, 50, 60), (1.0, 1.0, 3.0), None),
    ScanSummary("b", "early", ("T12", "L1"), (40, 50, 60), (0.7, 0.7, 1.0), None),
    ScanSummary(ODD, "scan", ("L1",), (40, 50, 60), (1.0, 1.0, 1.0), None),
]
FINDINGS = [
    Finding("b", "late", "", kinds.SPACING, "voxels are 3.50 mm"),
    Finding("b", "early", "L1", kinds.METAL, "12 voxels"),
    Finding(ODD, "scan", "L1", kinds.CUT, "reaches <the> border"),
    Finding("b", "unread", "", "no mask", "no mask beside it"),
]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(write_page(tmp_path, SCANS, FINDINGS).read_text(encoding="utf-8"))


def test_every_patient_scan_and_finding_is_named(page: Page) -> None:
    for finding in FINDINGS:
        assert finding.kind in page.text
        assert finding.detail in page.text
    for scan in SCANS:
        assert scan.patient_id in page.text
        assert scan.scan in page.text
    assert "2 patients, 3 scans, 5 vertebrae: 4 findings, 2 of them serious." in page.text


def test_names_are_text_and_never_code(page: Page) -> None:
    assert "script" not in {tag for tag, _ in page.tags}
    assert ODD in page.text


def test_serious_findings_come_first_then_patients_in_order(page: Page) -> None:
    rows = [row for row in page.rows if len(row) == 6]
    assert rows[0] == ["Weight", "Patient", "Scan", "Level", "What", "Detail"]
    assert [(row[0], row[1], row[2]) for row in rows[1:]] == [
        ("serious", ODD, "scan"), ("serious", "b", "unread"), ("look", "b", "early"), ("look", "b", "late"),
    ]  # fmt: skip


def test_levels_are_counted_from_head_to_foot(page: Page) -> None:
    rows = [row for row in page.rows if len(row) == 4]
    assert rows[1:] == [["T12", "1", "", ""], ["L1", "3", "1", "1"], ["L2", "1", "", ""]]


def test_links_lead_to_the_pictures_and_the_patients(tmp_path: Path) -> None:
    picture = tmp_path / "sheets" / "odd #1 %.png"
    picture.parent.mkdir()
    picture.write_bytes(b"")
    page = Page(write_page(tmp_path, [SCANS[2]._replace(sheet=picture)], FINDINGS[2:3]).read_text(encoding="utf-8"))
    anchors = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    files = [link for link in page.links if not link.startswith("#")]
    assert {link[1:] for link in page.links if link.startswith("#")} == anchors
    assert len(anchors) == 1
    assert all("://" not in link for link in files)
    assert [tmp_path / unquote(link) for link in files if "png" in link] == [picture, picture]
    assert all((tmp_path / unquote(link)).is_file() for link in files)


def test_the_table_opens_in_a_spreadsheet(tmp_path: Path) -> None:
    write_page(tmp_path, SCANS, FINDINGS)
    with (tmp_path / "quality.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["weight"], row["patient_id"]) for row in rows] == [
        ("serious", ODD), ("serious", "b"), ("look", "b"), ("look", "b"),
    ]  # fmt: skip
    assert [row["kind"] for row in rows] == [kinds.CUT, "no mask", kinds.METAL, kinds.SPACING]
    assert rows[0]["detail"] == "reaches <the> border"


def test_a_clean_study_says_so(tmp_path: Path) -> None:
    page = Page(write_page(tmp_path, SCANS[:1], []).read_text(encoding="utf-8"))
    assert "1 patient, 1 scan, 2 vertebrae: nothing looks wrong." in page.text
    assert not [row for row in page.rows if len(row) == 6]
