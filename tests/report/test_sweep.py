"""The table and the picture of a sweep, of runs made up for the purpose."""

import csv
import io
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import LogNorm, SymLogNorm

from fracture_vae.report.sweep.figures import Row
from fracture_vae.report.sweep.plot import axes_of, trade_off
from fracture_vae.report.sweep.table import csv_text, markdown

NAMES = {"beta": "beta", "latent": "latent"}


def row(beta: float, latent: int, recon: float, kl: float | None) -> Row:
    """A run."""
    figures = {"recon": recon, "total": recon, "seconds": 1.5, **({} if kl is None else {"kl": kl})}
    return Row({"beta": beta, "latent": latent}, figures, f"20260101-001-beta={beta},latent={latent}")


ROWS = [row(0.1, 2, 130.0, 9.0), row(4.0, 2, 170.0, 3.0), row(0.1, 16, 70.0, 40.0), row(4.0, 16, 140.0, 8.0)]


def test_the_picture_has_a_point_a_run_coloured_by_weight_with_a_marker_a_size() -> None:
    figure = trade_off(ROWS, NAMES, "sixteen runs")
    assert figure is not None
    axes, bar = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "KL divergence (nats per image)",
        "reconstruction (nats per image)",
    )
    assert bar.get_ylabel() == "KL weight (beta)"
    two, sixteen = axes.collections
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "latent 2", "latent 16", "recon + KL = 110.0, the best here",
    ]  # fmt: skip
    assert np.asarray(two.get_offsets()).tolist() == [[9.0, 130.0], [3.0, 170.0]]
    assert np.asarray(sixteen.get_array()).tolist() == [0.1, 4.0]
    assert isinstance(two.norm, LogNorm)
    assert [text.get_text() for text in bar.get_yticklabels()] == ["0.1", "4"]
    assert two.get_paths()[0].vertices.shape != sixteen.get_paths()[0].vertices.shape, "another marker"
    dotted = axes.lines[-1]
    assert np.asarray(dotted.get_xdata()) + np.asarray(dotted.get_ydata()) == pytest.approx([110.0, 110.0])


def test_the_bar_names_the_weights_where_they_lie_apart_and_lines_join_runs_that_differ_in_two_keys_alone() -> None:
    third = [Row({**r.values, "seed": seed}, r.figures, r.run) for seed, r in enumerate(ROWS)]
    joined, apart = trade_off(ROWS, NAMES, ""), trade_off(third, {**NAMES, "seed": "seed"}, "")
    assert joined is not None
    assert apart is not None
    lines = [[line for line in figure.axes[0].lines if len(line.get_xdata()) > 1] for figure in (joined, apart)]
    assert [len(found) for found in lines] == [3, 1], "a line a size, and the dotted one"
    crowded = trade_off([*ROWS, row(4.01, 16, 141.0, 8.0)], NAMES, "")
    assert crowded is not None
    assert "4.01" not in [text.get_text() for text in crowded.axes[1].get_yticklabels()]


def test_a_weight_of_zero_has_its_place_on_the_bar() -> None:
    figure = trade_off([row(0.0, 2, 100.0, 30.0), *ROWS], NAMES, "")
    assert figure is not None
    assert isinstance(figure.axes[0].collections[0].norm, SymLogNorm)


def test_runs_without_a_kl_divergence_have_no_picture() -> None:
    assert trade_off([row(1.0, 2, 0.1, None), row(1.0, 4, 0.1, None)], NAMES, "") is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"latent": 2, "objective#beta": 1.0}, ("objective#beta", "latent")),
        ({"latent": 2, "free_bits": 0.5}, ("latent", "free_bits")),
        ({"posterior": "delta", "beta": 1.0, "seed": 1}, ("beta", "posterior")),
        ({"posterior": "delta"}, (None, "posterior")),
        ({"beta": 1.0}, ("beta", None)),
    ],
)
def test_colour_is_the_kl_weight_or_the_first_number_and_the_marker_the_next_key(
    values: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    assert axes_of([Row(values, {}, "r")], {key: key for key in values}) == expected


def test_the_csv_holds_numbers_in_full_and_the_markdown_aligns_what_it_rounds() -> None:
    rows = [row(1 / 3, 2, 98.123456789, None), row(1.0, 16, 0.0123456, 12.5)]
    read = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [float(line["beta"]) for line in read] == [1 / 3, 1.0]
    assert [float(line["recon"]) for line in read] == [98.123456789, 0.0123456]
    assert [line["kl"] for line in read] == ["", "12.5"]
    lines = markdown(rows, NAMES).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "beta",
        "latent",
        "recon",
        "kl",
        "total",
        "seconds",
        "run",
    ]
    assert [cell.strip() for cell in lines[2].split("|")[1:4]] == ["0.333333", "2", "98.12"]
