"""Fitted networks: means and components by hand and by numpy, padding that does not count."""

import numpy as np
import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.networks import PCA, Template, build_network
from fracture_vae.networks.fitted.grid import inside


def test_a_template_is_the_mean_of_all_and_of_each_level() -> None:
    images = torch.tensor([1.0, 2.0, 6.0])[:, None, None, None, None].expand(3, 1, 2, 2, 2) / 10
    network = build_network("template", size=[2, 2, 2], levels=[20, 21])
    network.fit(images, torch.tensor([20, 20, 21]))
    given = torch.tensor([20, 21, 22, 0])
    shown = network(torch.zeros(4, 1, 2, 2, 2), given)
    assert shown.shape == (4, 1, 2, 2, 2)
    assert shown[:, 0, 0, 0, 0].tolist() == pytest.approx([0.15, 0.6, 0.3, 0.3])
    assert network(torch.zeros(1, 1, 2, 2, 2))[0, 0, 1, 1, 1] == pytest.approx(0.3), "without a level, the mean of all"


def test_padding_is_no_part_of_a_template() -> None:
    images = torch.zeros(2, 1, 4, 4, 4)
    images[0] = 0.2
    images[1, :, 1:3, 1:3, 1:3] = 0.6
    network = Template((4, 4, 4))
    network.fit(images, torch.zeros(2, dtype=torch.int64))
    assert network.means[0, 0, 0, 0] == pytest.approx(0.2)
    assert network.means[0, 1, 1, 1] == pytest.approx(0.4)


def test_the_inside_of_an_image_is_the_box_around_what_is_there() -> None:
    x = torch.zeros(2, 1, 6, 5, 4)
    x[0, 0, 1, 2, 0] = x[0, 0, 4, 3, 2] = 1
    box = inside(x)
    assert box.shape == x.shape
    assert box[0].sum() == 4 * 2 * 3
    assert box[0, 0, 1:5, 2:4, 0:3].all()
    assert not box[1].any()


def low_rank(count: int, size: tuple[int, int, int], rank: int, seed: int = 0) -> torch.Tensor:
    """Images in [0, 1] around a mean, in a subspace of so many dimensions."""
    rng = np.random.default_rng(seed)
    voxels = int(np.prod(size))
    values = rng.normal(size=(count, rank)) @ rng.normal(size=(rank, voxels))
    values = 0.5 + 0.4 * values / np.abs(values).max()
    return torch.from_numpy(values.astype(np.float32)).reshape(count, 1, *size)


def test_pca_gives_back_images_of_its_subspace_and_takes_off_what_is_orthogonal_to_it() -> None:
    images = low_rank(12, (6, 5, 7), 3)
    network = PCA((6, 5, 7), 3)
    network.fit(images, torch.zeros(12, dtype=torch.int64))
    torch.testing.assert_close(network(images), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(network.axes @ network.axes.T, torch.eye(3), atol=1e-5, rtol=0)
    added = torch.randn(1, 210)
    added -= (added @ network.axes.T) @ network.axes
    changed = images[:1] + 0.01 * added.reshape(1, 1, 6, 5, 7)
    torch.testing.assert_close(network(changed), images[:1], atol=1e-5, rtol=0)


def test_pca_is_that_of_a_singular_value_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fracture_vae.networks.fitted.pca._CHUNK", 50)
    images = low_rank(20, (6, 5, 7), 19)
    network = PCA((6, 5, 7), 4)
    network.fit(images, torch.zeros(20, dtype=torch.int64))
    rows = images.flatten(1).numpy()
    mean = rows.mean(0)
    axes = np.linalg.svd(rows - mean, full_matrices=False)[2][:4]
    np.testing.assert_allclose(network.mean, mean, atol=1e-6)
    overlap = np.abs(axes @ network.axes.numpy().T)
    np.testing.assert_allclose(overlap, np.eye(4), atol=1e-3)


def test_fitted_networks_say_what_they_cannot_take() -> None:
    network = PCA((4, 4, 4), 2)
    with pytest.raises(InputError, match="2 principal components need more than 2 images"):
        network.fit(torch.rand(2, 1, 4, 4, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match="components 0 of a PCA"):
        build_network("pca", size=[4, 4, 4], components=0)


def test_an_image_of_another_size_is_centred_in_the_grid_and_what_is_beyond_is_the_mean() -> None:
    network = Template((4, 4, 4))
    network.means.copy_(torch.arange(4.0)[:, None, None].expand(4, 4, 4))
    shown = network(torch.ones(1, 1, 6, 2, 5))
    assert shown.shape == (1, 1, 6, 2, 5)
    assert shown[0, 0, :, 0, 0].tolist() == [1.5, 0, 1, 2, 3, 1.5]
    assert shown[0, 0, 2].flatten().tolist() == [1.0] * 4 + [1.5] + [1.0] * 4 + [1.5]
