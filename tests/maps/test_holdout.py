"""What an inference of hold-out cases leaves beside the cohort."""

import logging
from pathlib import Path

import pytest

from fracture_vae.cohort.looks import looks_path, read_looks
from fracture_vae.maps.holdout import record_inference


def items(*folds: str) -> list[dict[str, str]]:
    return [{"patient_id": f"p{place}", "fold": fold} for place, fold in enumerate(folds)]


def test_an_inference_of_hold_out_cases_is_recorded_and_the_second_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "cohort.csv"
    model = {"sha256": "00" * 32, "weights": ["ab" * 32], "config_sha256": "cd" * 32}
    with caplog.at_level(logging.WARNING):
        record_inference(items("1", "test", "test"), table, "all", model, tmp_path / "maps")
        record_inference(items("test"), table, "test", {**model, "weights": ["ef" * 32]}, tmp_path / "maps")
    first, second = read_looks(table)
    assert (first.what, first.asked, first.cases, first.model, first.config) == (
        "infer", "split all", 2, "ab" * 32, "cd" * 32,
    )  # fmt: skip
    assert second.cases == 1
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("hold-out: first look at this hold-out")
    assert said[1].startswith("hold-out: look 2 at this hold-out, the first with these weights (2 models")


def test_without_hold_out_cases_or_without_a_cohort_nothing_is_written(tmp_path: Path) -> None:
    record_inference(items("1", ""), tmp_path / "cohort.csv", "all", {}, tmp_path)
    record_inference(items("test"), None, "all", {}, tmp_path)
    assert not looks_path(tmp_path / "cohort.csv").exists()
