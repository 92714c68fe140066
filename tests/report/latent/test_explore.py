"""A 2D run's latent space: what is written is what the network says, the same for the same seed."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fracture_vae.cohort.images import LabelledImages
from fracture_vae.cohort.images.load import digits
from fracture_vae.maps import find_models
from fracture_vae.networks import VAE, CoderConfig, build_network
from fracture_vae.report.latent import Explored, explore_latent
from fracture_vae.report.latent.between import choose_ends, strip
from fracture_vae.report.latent.figures import Heading, head, pictures, save
from fracture_vae.report.latent.model import LatentModel, open_latent
from fracture_vae.report.latent.points import find_points
from fracture_vae.report.latent.steps import draws, traversals
from fracture_vae.training import ImageDataset
from fracture_vae.training.checkpoints import load

PICTURES = {"scatter.png", "plane.png", "traversals.png", "interpolation.png", "interpolation.gif", "samples.png"}


@pytest.fixture(scope="module")
def explored(vae_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Explored:
    return explore_latent(vae_run, tmp_path_factory.mktemp("latent"))


@pytest.fixture(scope="module")
def model(vae_run: Path) -> LatentModel:
    return open_latent(vae_run)


@pytest.fixture(scope="module")
def autoencoder(train_digits: Callable[..., Path]) -> Path:
    return train_digits("mnist_ae", latent=3, hidden=[16], max_epochs=1, normal=[1])


@pytest.fixture(scope="module")
def quantized(train_digits: Callable[..., Path]) -> Path:
    return train_digits("mnist_vq", max_epochs=1)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def folder_of(explored: Explored) -> Path:
    return explored.written[0].parent


def test_every_figure_is_a_picture_that_opens(explored: Explored) -> None:
    assert {file.name for file in explored.written} == PICTURES | {"points.csv"}
    assert explored.left_out == {}
    for file in explored.written[1:]:
        with Image.open(file) as image:
            assert min(image.size) > 200
            image.load()


def test_the_animation_goes_there_and_back_without_end(explored: Explored) -> None:
    with Image.open(folder_of(explored) / "interpolation.gif") as image:
        assert (image.n_frames, image.info["loop"]) == (48, 0)
        frames = {}
        for number in (0, 1, 24, 47):
            image.seek(number)
            frames[number] = image.convert("RGB").tobytes()
    assert frames[1] == frames[47]
    assert frames[0] != frames[24]


def test_the_table_holds_class_and_posterior_mean_of_every_image(explored: Explored, vae_run: Path) -> None:
    checkpoint = find_models(vae_run)[0]
    network = build_network(**checkpoint.about.network)
    network.load_state_dict(load(checkpoint.path)["network"])
    test = digits().test
    found = rows(folder_of(explored) / "points.csv")
    assert [int(row["id"]) for row in found] == list(range(len(test.images)))
    assert [int(row["class"]) for row in found] == test.labels.tolist()
    with torch.no_grad():
        means = network.eval().encode(torch.from_numpy(test.images).float() / 255).mean
    told = torch.tensor([[float(row["z_1"]), float(row["z_2"])] for row in found])
    torch.testing.assert_close(told, means, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_bytes(explored: Explored, vae_run: Path, tmp_path: Path) -> None:
    again = explore_latent(vae_run, tmp_path)
    assert [file.read_bytes() for file in again.written] == [file.read_bytes() for file in explored.written]


def test_fewer_images_than_there_are_are_drawn_by_the_seed(model: LatentModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fracture_vae.report.latent.points.SHOWN", 20)
    first, again, other = (find_points(model, seed).indices.tolist() for seed in (0, 0, 1))
    assert first == again == sorted(set(first))
    assert len(first) == 20
    assert first != other


def test_an_interpolation_is_between_two_classes_or_the_images_named(model: LatentModel) -> None:
    points = find_points(model, 0)
    chosen = choose_ends(model, points, None, None)
    assert chosen.labels[0] != chosen.labels[1]
    named = choose_ends(model, points, 7, 3)
    assert named.indices == (7, 3)
    assert named.labels == tuple(model.images.labels[[7, 3]].tolist())
    torch.testing.assert_close(named.z, model.encode(model.images.batch([7, 3])["image"]))
    assert choose_ends(model, points, None, 3).labels[0] != named.labels[1]


def test_a_strip_begins_and_ends_with_the_images_and_their_reconstructions(model: LatentModel) -> None:
    ends = choose_ends(model, find_points(model, 0), 7, 3)
    grid = strip(model, ends)
    for row in grid.images.unflatten(0, (2, 13)):
        torch.testing.assert_close(row[[0, -1]], ends.images)
        torch.testing.assert_close(row[[1, -2]], model.network(ends.images).detach(), atol=1e-5, rtol=0)


def test_a_traversal_changes_one_dimension_in_steps_of_the_prior(model: LatentModel) -> None:
    start = torch.tensor([0.25, -4.0])
    z = traversals(model, find_points(model, 0), torch.tensor([1, 0]), start, 3)
    low, high = -1.880794, 1.880794  # the 3rd and 97th percentile of N(0, 1)
    expected = [[0.25, low], [0.25, 0], [0.25, high], [low, -4], [0, -4], [high, -4]]
    torch.testing.assert_close(z, torch.tensor(expected), atol=1e-5, rtol=0)


def test_draws_are_from_the_prior_and_leave_the_random_state_alone(model: LatentModel) -> None:
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)
    z = draws(model, find_points(model, 0), 4000, 0)
    assert torch.equal(torch.randn(2), expected)
    assert not torch.equal(z, draws(model, find_points(model, 0), 4000, 1))
    torch.testing.assert_close(z.mean(0), torch.zeros(2), atol=0.1, rtol=0)
    torch.testing.assert_close(z.T.cov(), torch.eye(2), atol=0.1, rtol=0)


def test_an_autoencoder_is_drawn_from_by_the_gaussian_of_its_codes(autoencoder: Path) -> None:
    model = open_latent(autoencoder)
    points = find_points(model, 0)
    z = draws(model, points, 20_000, 0)
    codes = points.z.T.cov(correction=0)
    scale = float(codes.diagonal().max())
    torch.testing.assert_close(z.mean(0), points.z.mean(0), atol=0.05 * scale**0.5, rtol=0)
    torch.testing.assert_close(z.T.cov(), codes, atol=0.05 * scale, rtol=0)


def test_what_needs_umap_is_left_out_in_a_line_where_it_is_absent(
    autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]
) -> None:
    monkeypatch.setattr("fracture_vae.report.latent.embedding.find_spec", lambda _: None)
    result = cli("latent", autoencoder, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    last = result.output.splitlines()[-1]
    assert last == "left out umap.png: umap-learn is not installed (pip install fracture-vae[latent])"
    assert {"tsne.png", "scatter.png", "traversals.png"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "plane.png").exists(), "three dimensions"
    assert list(rows(tmp_path / "points.csv")[0]) == ["id", "class", "z_1", "z_2", "z_3", "tsne_1", "tsne_2"]
    assert {row["class"] for row in rows(tmp_path / "points.csv")} == set("0123456789"), "also classes it has not seen"


def test_a_vq_run_shows_its_codes_and_says_what_it_cannot(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fracture_vae.report.latent.embedding.find_spec", lambda _: None)
    monkeypatch.setattr("fracture_vae.report.latent.points.SHOWN", 40)
    explored = explore_latent(quantized, tmp_path)
    written = {file.name for file in explored.written}
    assert written == {"points.csv", "tsne.png", "interpolation.png", "interpolation.gif"}
    assert "without a prior to draw from" in explored.left_out["samples.png"]
    assert "without dimensions to go along" in explored.left_out["scatter.png, traversals.png"]
    model = open_latent(quantized)
    row = rows(tmp_path / "points.csv")[5]
    image = model.images.batch([int(row["id"])])["image"]
    codes = model.network.codes(image).flatten().tolist()
    assert [int(row[f"code_{number}"]) for number in range(1, 50)] == codes


def test_what_is_no_picture_has_places_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (30, 6), generator=rng, dtype=torch.uint8).numpy()
    images = ImageDataset(LabelledImages(values, values[:, 0] % 3))
    network = VAE(CoderConfig(shape=(6,), latent=2, hidden=(4,))).eval()
    model = LatentModel(network, tmp_path, tmp_path / "last.pt", "vectors", images, None)
    monkeypatch.setattr("fracture_vae.report.latent.explore.open_latent", lambda _: model)
    explored = explore_latent(tmp_path)
    assert [file.name for file in explored.written] == ["points.csv", "scatter.png"]
    assert list(explored.left_out.values()) == ["vectors have no picture"]


def test_other_data_than_the_run_was_trained_on_is_told(vae_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = digits()
    fewer = LabelledImages(study.test.images[1:], study.test.labels[1:])
    monkeypatch.setattr("fracture_vae.training.study.open_images", lambda *_: study._replace(test=fewer))
    with pytest.raises(ValueError, match=r"was trained on digits, and .* does not hold that; fetch it there"):
        open_latent(vae_run)


def test_images_lie_close_below_the_title_and_what_is_below_them_above_the_note(
    model: LatentModel, tmp_path: Path
) -> None:
    figure = pictures(strip(model, choose_ends(model, find_points(model, 0), None, None)))
    head(figure, Heading("Interpolation", "run", "note"))
    save(figure, tmp_path / "strip.png")
    figure.set_layout_engine("none")  # as it was written
    figure.draw_without_rendering()
    (axes,) = figure.axes
    title, note = (
        next(text for text in figure.texts if text.get_text().startswith(start)).get_window_extent()
        for start in ("Interpolation", "note")
    )
    assert 0 < title.y0 - axes.get_window_extent().y1 < 0.15 * figure.dpi
    assert axes.xaxis.label.get_window_extent().y0 > note.y1
