"""The gallery in headless Chromium: no errors, no requests; heads sort; the pointer decodes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fracture_vae.maps.model import find_models, load_network
from fracture_vae.networks import build_network
from fracture_vae.report.gallery import write_gallery
from fracture_vae.report.gallery.latent import decoded_plane
from fracture_vae.report.gallery.runs import find_runs
from fracture_vae.training.study import open_study

PIXELS = """canvas => {
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  return [...pen.getImageData(0, 0, copy.width, copy.height).data];
}"""
"""What a canvas shows."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install fracture-vae[browser])")
    with sync.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        names = ("chromium", "chromium-browser", "google-chrome")
        binary = next((path for name in names if (path := shutil.which(name))), own)
        if not Path(binary).exists():
            pytest.skip("no Chromium (install it, or run: playwright install chromium)")
        launched = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def written(runs: Path, broken_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gallery([runs, broken_runs], tmp_path_factory.mktemp("page") / "all.html").path


@pytest.fixture
def page(browser: Any, written: Path) -> Iterator[Any]:
    """The page, opened; at the end it must have said nothing, run no stranger's code and asked for nothing."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(10_000)
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(written.as_uri())
    opened.wait_for_function("document.querySelector('.explorer output').textContent.includes('class')")
    yield opened
    assert said == []
    assert [address for address in asked if not address.startswith("data:")] == [written.as_uri()]
    assert opened.evaluate("window.hacked") is None
    opened.close()


def column(page: Any, title: str) -> list[str]:
    heads = page.locator("table.runs thead th").all_inner_texts()
    index = next(number for number, head in enumerate(heads) if head.strip() == title)
    return page.locator(f"table.runs tbody tr > :nth-child({index + 1})").all_inner_texts()


def head(page: Any, title: str) -> Any:
    return page.locator("table.runs thead th", has=page.get_by_role("button", name=title, exact=True))


def test_a_click_sorts_by_figures_and_another_one_the_other_way(page: Any) -> None:
    before = column(page, "reconstruction")
    figures = sorted(float(value) for value in before if value != "–")
    missing = ["–"] * (len(before) - len(figures))
    head(page, "reconstruction").get_by_role("button").click()
    assert [float(value) for value in column(page, "reconstruction")[: len(figures)]] == figures
    assert column(page, "reconstruction")[len(figures) :] == missing
    assert head(page, "reconstruction").get_attribute("aria-sort") == "ascending"
    head(page, "reconstruction").get_by_role("button").click()
    assert [float(value) for value in column(page, "reconstruction")[: len(figures)]] == figures[::-1]
    assert column(page, "reconstruction")[len(figures) :] == missing, "what is missing stays last"


def test_the_keyboard_sorts_by_words(page: Any) -> None:
    head(page, "state").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert column(page, "state") == sorted(column(page, "state"))
    assert head(page, "state").get_attribute("aria-sort") == "ascending"
    assert page.locator("th[aria-sort]").count() == 1


def test_a_name_leads_to_its_run(page: Any) -> None:
    page.locator("table.runs tbody a").nth(1).click()
    assert page.evaluate("location.hash") == "#run-2"
    assert abs(page.evaluate("document.querySelector('#run-2').getBoundingClientRect().top")) < 2


def test_the_pointer_shows_the_values_of_an_epoch(page: Any) -> None:
    curve = page.locator("figure.chart", has_text="reconstruction").first
    rest = curve.locator("output").inner_text()
    assert "at epoch 2" in rest
    curve.locator("svg").hover(position={"x": 50, "y": 60})
    assert curve.locator("output").inner_text().startswith("epoch 1: training ")
    page.mouse.move(0, 0)
    assert curve.locator("output").inner_text() == rest
    curve.locator("svg").focus()
    page.keyboard.press("ArrowLeft")
    assert curve.locator("output").inner_text().startswith("epoch 2: training ")


def test_the_pointer_over_the_plane_decodes_the_point(page: Any, vae: Path) -> None:
    explorer = page.locator(".explorer").first
    plane, decoded = explorer.locator(".plane canvas"), explorer.locator(".decoded canvas")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    known = decoded_plane(find_runs([vae])[0], open_study, 10**6)
    (model,) = find_models(vae)
    network = load_network(build_network(**(model.about.network or {})), model.path, "cpu")
    mean = _mean_code(network)
    shown = [decoded.evaluate(PIXELS)]
    for across, down in ((0.13, 0.2), (0.81, 0.66)):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        shown.append(decoded.evaluate(PIXELS))
        z = mean.clone()
        for axis, share in enumerate((across, 1 - down)):
            z[known.dims[axis]] = known.low[axis] + share * (known.high[axis] - known.low[axis])
        with torch.no_grad():
            made = network.to_sample(network.decode(z[None]))[0, 0].numpy()
        pixels = np.array(shown[-1]).reshape(28, 28, 4)[..., 0] / 255
        assert np.abs(pixels - made).mean() < 0.02, "as the decoder itself, but for the blending"
        assert f"dimension {known.dims[0] + 1} = {z[known.dims[0]]:.2f}"[:-1] in explorer.locator("output").inner_text()
    assert shown[0] != shown[1] != shown[2]


def test_the_arrow_keys_move_through_the_plane(page: Any) -> None:
    explorer = page.locator(".explorer").first
    before, words = explorer.locator(".decoded canvas").evaluate(PIXELS), explorer.locator("output").inner_text()
    explorer.locator(".plane canvas").focus()
    for _ in range(8):
        page.keyboard.press("ArrowUp")
    assert explorer.locator(".decoded canvas").evaluate(PIXELS) != before
    assert explorer.locator("output").inner_text() != words


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_dark_screen_gets_a_dark_page_and_paper_stays_white(page: Any) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) == "rgb(20, 25, 31)"
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"


def _mean_code(network: Any) -> torch.Tensor:
    """The mean of the posterior means of the validation images."""
    images = torch.from_numpy(open_study("digits", "").validate.images[:240].copy()).float() / 255
    with torch.no_grad():
        return network.encode(images).mean.mean(0)
