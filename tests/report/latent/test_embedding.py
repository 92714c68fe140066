"""t-SNE and UMAP: clusters far apart stay apart, and the same seed gives the same places."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fracture_vae.report.latent.embedding import told_dimensions, tsne, umap


def clusters(dimensions: int) -> Tensor:
    """Two clusters of 30 points, 100 standard deviations apart."""
    noise = torch.randn(60, dimensions, generator=torch.Generator().manual_seed(0))
    return noise + 100 * (torch.arange(60) >= 30).unsqueeze(1)


@pytest.mark.parametrize("method", [tsne, umap], ids=lambda method: method.__name__)
def test_clusters_stay_apart_and_the_seed_decides(method: Callable[[Tensor, int], Tensor]) -> None:
    if method is umap:
        pytest.importorskip("umap", reason="umap-learn is not installed")
    places = method(clusters(4), 0)
    assert places.shape == (60, 2)
    within = max(torch.cdist(part, part).max() for part in places.split(30))
    assert torch.cdist(*places.split(30)).min() > 0.5 * within
    assert torch.equal(places, method(clusters(4), 0))


def test_of_many_dimensions_the_first_components_are_told() -> None:
    assert told_dimensions(clusters(4)) == "4 dimensions"
    assert told_dimensions(clusters(80)) == "50 principal components of 80 dimensions"
