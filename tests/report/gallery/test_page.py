"""The gallery's page as a reader takes it: everything is named, nothing is code, whatever the folders hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fracture_vae.report.gallery import write_gallery
from tests.html_page import EVIL, Page


@pytest.fixture(scope="module")
def page(runs: Path, broken_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    made = write_gallery([runs, broken_runs], tmp_path_factory.mktemp("page") / "all.html")
    assert (made.runs, made.explorers) == (7, 3)
    assert made.path.stat().st_size == made.size < 2**21
    return Page(made.path.read_text(encoding="utf-8"))


def test_the_table_has_a_row_a_run_with_the_figures_of_its_files(page: Page, vae: Path) -> None:
    head, *rows = page.rows
    assert len(rows) == 7
    assert all(len(row) == len(head) for row in rows)
    own = dict(zip(head, rows[0], strict=True))
    last = (vae / "metrics.csv").read_text(encoding="utf-8").splitlines()
    figures = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    assert own["run"] == f"runs/{vae.name}"
    assert own["reconstruction"] == f"{float(figures['val/recon_loss']):.4g}"
    assert own["KL"] == f"{float(figures['val/kl_loss']):.4g}"
    bound = json.loads((vae / "log.json").read_text(encoding="utf-8"))["validation"]["nll"]
    assert own["NLL at most"] == f"{bound:.4g}"
    assert dict(zip(head, rows[1], strict=True))["NLL at most"] == "–", "an autoencoder has no likelihood"
    assert (own["state"], own["latent"], own["network"], own["epochs"]) == ("finished", "4", "vae", "2")
    begun = dict(zip(head, rows[3], strict=True))
    assert (begun["state"], begun["reconstruction"], begun["latent"]) == ("unfinished", "–", "–")


def test_every_head_is_a_button_and_every_name_leads_to_its_run(page: Page) -> None:
    columns = [attrs for tag, attrs in page.tags if tag == "th" and attrs.get("scope") == "col"]
    assert sum(tag == "button" for tag, _ in page.tags) == len(columns)
    sections = {attrs["id"] for tag, attrs in page.tags if tag == "section"}
    linked = {link[1:] for link in page.links if link and link.startswith("#run")}
    assert linked == sections == {f"run-{number}" for number in range(1, 8)}


def test_it_holds_all_it_shows_and_every_picture_says_what_it_is(page: Page) -> None:
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) > 8
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in pictures)
    assert all(attrs["alt"] for attrs in pictures)
    assert all(link.startswith(("data:", "#")) for link in page.links)


def test_nothing_that_comes_from_a_folder_is_markup(page: Page) -> None:
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert [attrs.get("type") for attrs in scripts] == ["application/json"] * 3 + [None]
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert EVIL in page.text
    assert "20260101-004-<script>window.hacked = 1<" in page.text
    assert f"val/{EVIL}"[4:].replace("_", " ") in page.rows[0]


def test_what_is_amiss_is_noted_beside_what_there_is(page: Page) -> None:
    for note in (
        "run_meta.json is missing.", "run_meta.json is damaged.", "metrics.csv is damaged.",
        "after epoch 2 of 2", "reconstructions/epoch_0002.png is damaged.", "No latent explorer: no weights were kept",
        "a VQVAE has no latent vector to walk along",
    ):  # fmt: skip
        assert note in page.text, note


def test_the_explorer_says_what_it_shows(page: Page) -> None:
    assert "of 4, the two most used (KL divergence, nats:" in page.text
    assert "; the other 2 are held at their mean over the images." in page.text
    assert "Both latent dimensions (variance of the code:" in page.text
    assert "Dots are the posterior means of the first 240 validation images, of the best model (epoch" in page.text


def test_the_command_writes_into_the_group_and_says_how_large_it_is(
    cli: Callable[..., Any], vae: Path, tmp_path: Path
) -> None:
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / vae.name).symlink_to(vae, target_is_directory=True)
    assert "holds no run" in cli("gallery", tmp_path / "group").stderr, "links are not followed"
    result = cli("gallery", vae, "--out", tmp_path / "new" / "g.html")
    assert result.exit_code == 0
    size = (tmp_path / "new" / "g.html").stat().st_size / 2**20
    assert result.stdout == f"{tmp_path / 'new' / 'g.html'}: 1 run, 1 with a latent explorer, {size:.2f} MiB\n"
