"""The contact sheet: a picture of the right cases, the right way up."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fracture_vae.errors import InputError
from fracture_vae.jobs import infer_cases
from fracture_vae.report.contact_sheet import SIDES, _chosen, _judged, _plane, draw_contact_sheet
from tests.bad_inputs import GOOD, nifti


@pytest.fixture(scope="module")
def maps(tiny_run: Path, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    infer_cases(tiny_run, folder, {"cohort": str(tiny_cohort), "images": [], "split": "all", "device": "cpu"})
    return folder


@pytest.mark.parametrize("cases", [1, 3, 6])
def test_a_sheet_opens_and_shows_something(maps: Path, tiny_cohort: Path, tmp_path: Path, cases: int) -> None:
    path = draw_contact_sheet(maps, tmp_path / "sheet.png", tiny_cohort, cases)
    with Image.open(path) as picture:
        picture.load()
        width, height = picture.size
        pixels = np.asarray(picture.convert("L"), dtype=float)
    assert width > 1000
    assert height == pytest.approx(80 * (2.2 * cases + 1.0), abs=2)
    assert pixels.std() > 10, "not one colour"
    rows = np.array_split(pixels[80:], cases)
    assert all(row.std() > 10 for row in rows), "every case is drawn"
    quarters = np.array_split(pixels[80:], 4, axis=1)
    assert all(quarter.std() > 5 for quarter in quarters), "image, reconstruction, error and truth are drawn"


def test_without_a_cohort_there_is_no_truth_but_a_sheet(maps: Path, tmp_path: Path) -> None:
    assert draw_contact_sheet(maps, tmp_path / "sheet.png").stat().st_size > 10_000


def test_a_reconstruction_that_is_the_image_is_left_out(tmp_path: Path) -> None:
    for kind, values in (("recon", GOOD), ("signed", GOOD * 0), ("error", GOOD)):
        nifti(tmp_path / f"a_{kind}.nii.gz", values, descrip=b"head score", cal_min=0, cal_max=2)
    (tmp_path / "scores.csv").write_text("case_id,score\na,1\n", encoding="utf-8")
    with Image.open(draw_contact_sheet(tmp_path, tmp_path / "three.png")) as three:
        width = three.size[0]
        error = np.asarray(three.convert("L"), dtype=float)[80:, width // 3 : 2 * width // 3]
    nifti(tmp_path / "a_signed.nii.gz", GOOD / 2)
    nifti(tmp_path / "a_error.nii.gz", GOOD, cal_max=1)
    with Image.open(draw_contact_sheet(tmp_path, tmp_path / "four.png")) as four:
        assert four.size[0] == pytest.approx(width * 4 / 3, abs=2)
        narrow = np.asarray(four.convert("L"), dtype=float)[80:, 2 * width // 3 : width]
    assert error.max() < narrow.max(), "an error of 1 is drawn darker where the header says 0 to 2"


def test_what_a_calibration_made_of_a_case_stands_above_it() -> None:
    assert _judged({"p_value": "0.0454545", "flagged": "1"}) == "  p 0.045  FLAGGED"
    assert _judged({"p_value": "0.5", "flagged": "0"}) == "  p 0.5"
    assert _judged({"p_value": "", "flagged": ""}) == _judged({}) == ""


def rows(*scored: tuple[str, str, float]) -> list[dict[str, str]]:
    return [{"case_id": name, "label": label, "score": str(score)} for name, label, score in scored]


def test_highest_and_lowest_of_each_label_are_shown_abnormal_ones_first() -> None:
    given = rows(*((f"n{i}", "0", i / 10) for i in range(5)), *((f"a{i}", "1", i / 10) for i in range(5)))
    assert [row["case_id"] for row in _chosen(given, 4)] == ["a4", "a0", "n4", "n0"]
    assert [row["case_id"] for row in _chosen(given, 6)] == ["a4", "a3", "a0", "n4", "n3", "n0"]
    assert [row["case_id"] for row in _chosen(rows(("u", "", 1.0), ("v", "", 2.0)), 6)] == ["v", "u"]


def test_planes_are_drawn_as_radiologists_look_at_them() -> None:
    volume = np.zeros((5, 6, 7))
    front, top, right = volume.copy(), volume.copy(), volume.copy()
    front[:, -1, :], top[:, :, -1], right[-1] = 1, 1, 1  # RAS: last of y, z and x
    centre = (2, 3, 3)
    assert _plane(front, 0, centre)[:, 0].all(), "sagittal: the front is on the left"
    assert _plane(top, 0, centre)[0].all(), "sagittal: superior is up"
    assert _plane(right, 1, centre)[:, 0].all(), "coronal: the patient's right is on the left"
    assert _plane(top, 1, centre)[0].all(), "coronal: superior is up"
    assert _plane(right, 2, centre)[:, 0].all(), "axial: the patient's right is on the left"
    assert _plane(front, 2, centre)[0].all(), "axial: the front is up"
    assert _plane(volume, 0, centre).shape == (7, 6)


def test_the_letters_name_the_sides_that_lie_there() -> None:
    x, y, _ = np.indices((5, 6, 7))
    for plane, (left, right) in enumerate(SIDES):
        for letter, column in ((left, 0), (right, -1)):
            ramp = {"R": x, "L": -x, "A": y, "P": -y}[letter]  # RAS: grows to the side the letter names
            drawn = _plane(ramp, plane, (2, 3, 3))
            assert (drawn[:, column] == drawn.max()).all(), (plane, letter)


def test_tensorboard_s_slices_look_the_same_way() -> None:
    import torch

    from fracture_vae.training.slices import planes

    volume = np.random.default_rng(0).random((6, 6, 6))
    expected = np.concatenate([_plane(volume, plane, (3, 3, 3)) for plane in range(3)], axis=1)
    np.testing.assert_allclose(planes(torch.from_numpy(volume)).numpy(), expected)


def test_what_cannot_be_drawn_is_told(tmp_path: Path, cli: Callable[..., Any]) -> None:
    with (tmp_path / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(["case_id", "score"])
    with pytest.raises(InputError, match="lists no case"):
        draw_contact_sheet(tmp_path, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
