"""The decoded plane is what the decoder makes, where the page says it is."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fracture_vae.errors import InputError
from fracture_vae.maps.model import find_models, load_network
from fracture_vae.networks import build_network
from fracture_vae.report.gallery.latent import Plane, decoded_plane
from fracture_vae.report.gallery.runs import find_runs
from fracture_vae.training.checkpoints import load, save
from fracture_vae.training.images import ImageDataset
from fracture_vae.training.study import open_study


@pytest.fixture(scope="module")
def plane(vae: Path) -> Plane:
    return decoded_plane(find_runs([vae])[0], open_study, 10**6)


@torch.no_grad()
def test_the_sprite_holds_what_the_decoder_makes_of_the_plane(vae: Path, plane: Plane) -> None:
    (model,) = find_models(vae)
    network = load_network(build_network(**(model.about.network or {})), model.path, "cpu")
    images = ImageDataset(open_study("digits", "").validate, limit=240).images.float() / 255
    q = network.encode(images)
    use = q.kl_to_standard().mean(0)
    assert set(plane.dims) == set(use.topk(2).indices.tolist())
    assert plane.use == tuple(use[list(plane.dims)].tolist())
    assert torch.equal(plane.points, q.mean[:, list(plane.dims)])
    with Image.open(io.BytesIO(plane.sprite)) as opened:
        sprite = np.asarray(opened) / 255
    height, width = plane.size
    for row, column in ((0, 0), (plane.cells - 1, 0), (3, 5)):
        z = q.mean.mean(0).clone()
        across, up = column / (plane.cells - 1), 1 - row / (plane.cells - 1)
        for axis, share in enumerate((across, up)):
            z[plane.dims[axis]] = plane.low[axis] + share * (plane.high[axis] - plane.low[axis])
        made = network.to_sample(network.decode(z[None]))[0, 0].numpy()
        cell = sprite[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert np.abs(cell - made).max() < 0.51 / 255


def test_all_points_and_the_middle_of_the_prior_are_on_the_plane(plane: Plane) -> None:
    low, high = torch.tensor(plane.low), torch.tensor(plane.high)
    assert bool(((plane.points >= low) & (plane.points <= high)).all())
    assert bool((low <= -2.5).all())
    assert bool((high >= 2.5).all())


def test_a_coarser_grid_is_smaller_and_blends_worse(vae: Path, plane: Plane) -> None:
    coarse = decoded_plane(find_runs([vae])[0], open_study, 0)
    assert (coarse.cells, plane.cells) == (8, 24)
    assert len(coarse.sprite) < len(plane.sprite) / 3
    assert 0 < plane.blending[0] < coarse.blending[0]
    assert plane.blending[0] < plane.blending[1] < 1


def test_an_autoencoder_has_a_plane_of_its_own_codes(runs: Path) -> None:
    run = next(run for run in find_runs([runs]) if run.name.endswith("-ae"))
    plane = decoded_plane(run, open_study, 0)
    assert plane.measure == "variance of the code"
    assert plane.use == pytest.approx(tuple(plane.points.var(0, unbiased=False).tolist()))


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as told:
        decoded_plane(find_runs([folder])[0], open_study, 0)
    return str(told.value)


def test_a_run_that_cannot_be_explored_says_why(runs: Path, vae: Path, broken_runs: Path, tmp_path: Path) -> None:
    assert refused(next(runs.glob("*-vq"))) == "a VQVAE has no latent vector to walk along"
    _, going, damaged, _ = sorted(broken_runs.iterdir())
    assert refused(going) == "no weights were kept (train with --save-weights)"
    assert refused(damaged) == "its checkpoint can't be used: it is missing or damaged"
    other = shutil.copytree(vae, tmp_path / "20260101-001-other")
    meta = json.loads((other / "run_meta.json").read_text(encoding="utf-8"))
    (other / "run_meta.json").write_text(
        json.dumps({**meta, "data": {**meta["data"], "sha256": "0" * 64}}), encoding="utf-8"
    )
    assert refused(other) == "its images (digits) are not at hand; fracture-vae data fetches public ones"


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ({"latent": 9}, "weights do not fit"),
        ({"hidden": [10**9], "latent": 10**9}, "weights do not fit"),
        ({"nonsense": 1}, "weights do not fit"),
    ],
)
def test_a_checkpoint_that_names_another_network_is_told(
    vae: Path, tmp_path: Path, network: dict[str, object], says: str
) -> None:
    run = shutil.copytree(vae, tmp_path / vae.name)
    for path in (run / "checkpoints").glob("*.pt"):
        content = load(path)
        about = json.loads(content["about"])
        about["network"].update(network)
        save(path, {**content, "about": json.dumps(about)})
    assert says in refused(run)
