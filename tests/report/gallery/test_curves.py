"""Curves lie where their values are, and say them in words."""

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from fracture_vae.report.gallery.curves import MOST_POINTS, chart, curves
from fracture_vae.report.gallery.runs import Run


def run(rows: list[dict[str, float]]) -> Run:
    return Run("a", Path("a"), tuple(rows), {}, {}, ())


def drawn(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{markup}</div>")


def test_points_lie_to_scale() -> None:
    figure = drawn(chart("total", {"train": [(1, 10.0), (2, 30.0), (5, 20.0)], "val": [(5, 15.0)]}))
    (line, single) = figure.findall(".//polyline")
    places = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    assert places[1][0] - places[0][0] == pytest.approx((places[2][0] - places[0][0]) / 4, abs=0.1)
    assert places[0][1] - places[2][1] == pytest.approx((places[0][1] - places[1][1]) / 2, abs=0.1), "up is more"
    (dot,) = figure.findall(".//circle")
    assert f"{dot.attrib['cx']},{dot.attrib['cy']}" == single.attrib["points"]
    assert float(dot.attrib["cx"]) == places[2][0]


def test_the_words_and_the_script_s_values_are_those_of_the_run() -> None:
    figure = drawn(curves(run([{"epoch": 1, "train/recon_loss": 9.0}, {"epoch": 2, "train/recon_loss": 7.5}])))
    svg = next(element for element in figure.iter() if element.tag == "svg")
    assert svg.attrib["aria-label"] == "reconstruction by epoch: training 7.5 at epoch 2"
    assert json.loads(svg.attrib["data-curve"])["series"][0]["points"] == [[1, 9.0], [2, 7.5]]


def test_what_does_not_change_is_said_in_a_line_and_what_is_no_number_left_out() -> None:
    rows = [
        {"epoch": n, "train/beta": 1.0, "val/kl_loss": value}
        for n, value in ((1.0, math.nan), (2.0, -math.inf), (3.0, 1e308))
    ]
    assert "".join(drawn(curves(run(rows))).itertext()) == "In all epochs: weight of the KL (β) 1."
    assert curves(run([])) == ""


@pytest.mark.parametrize("epochs", [MOST_POINTS, MOST_POINTS + 1, 10 * MOST_POINTS + 7])
def test_a_long_run_is_thinned_out_and_keeps_its_last_epoch(epochs: int) -> None:
    rows = [{"epoch": float(n), "val/total_loss": 1 / n} for n in range(1, epochs + 1)]
    svg = next(element for element in drawn(curves(run(rows))).iter() if element.tag == "svg")
    points = json.loads(svg.attrib["data-curve"])["series"][0]["points"]
    assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS
    assert points[-1] == [epochs, 1 / epochs]
