"""Novelty: its residual by hand, and images of another kind above those of the kind trained on."""

import pytest
import torch
from torch import nn

from fracture_vae.errors import InputError
from fracture_vae.evaluation import auroc
from fracture_vae.networks import VAE, VQVAE, Autoencoder, CoderConfig, VQVAEConfig, build_quantizer
from tools.benchmarks.novelty import Novelty, relative_residual


def strokes(count: int, upright: bool, seed: int) -> torch.Tensor:
    """Images (N, 1, 8, 8) of a bar one pixel wide, of varied place and brightness."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 1, 8, 8)
    for image in images:
        place = int(torch.randint(2, 6, (), generator=generator))
        image[0, 1:7, place] = 0.6 + 0.4 * torch.rand((), generator=generator)
    return images if upright else images.transpose(2, 3).contiguous()


def test_the_relative_residual_by_hand_and_whatever_the_brightness() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1
    kernel = torch.tensor([1.0, 4, 6, 4, 1]) / 16
    size = kernel.square().sum() ** 2
    half = relative_residual(image, 0.5 * image)
    assert half.item() == pytest.approx((0.25 * size / (1.25 * size)).item())
    assert relative_residual(0.1 * image, 0.05 * image).item() == pytest.approx(half.item())
    assert relative_residual(image, image).item() == pytest.approx(0, abs=1e-9)
    moved = image.roll(1, 3)
    shifted = (kernel[:-1] * kernel[1:]).sum() / kernel.square().sum()  # what smoothing lets a pixel off overlap
    assert relative_residual(image, moved).item() == pytest.approx(1 - shifted.item(), rel=1e-5)


NETWORKS = {
    "autoencoder": lambda: Autoencoder(CoderConfig(shape=(1, 8, 8), latent=4, hidden=(32,))),
    "vae": lambda: VAE(CoderConfig(shape=(1, 8, 8), latent=4, hidden=(32,))),
    "vqvae": lambda: VQVAE(
        VQVAEConfig(spatial_dims=2, channels=(8, 8), dropout=0.0), build_quantizer("vq", num_codes=8, dim=4)
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_bars_that_lie_down_are_new_to_a_network_of_upright_ones(name: str) -> None:
    torch.manual_seed(0)
    network, train = NETWORKS[name](), strokes(200, True, 0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(train), train).backward()
        optimizer.step()
    novelty = Novelty(network.eval(), train, strokes(60, True, 1))
    images = torch.cat([strokes(50, True, 2), strokes(50, False, 3)])
    labels = (torch.arange(100) >= 50).long().numpy()
    for score in novelty(images):
        assert auroc(labels, score.double().numpy()) > 0.95
    held_out = novelty(strokes(60, True, 1)).both
    assert held_out.mean().item() == pytest.approx(0, abs=1e-5), "measured in the spread of held-out normal images"


def test_it_needs_images() -> None:
    with pytest.raises(InputError, match="1 training and 3 held-out images: two of each are the least"):
        Novelty(NETWORKS["autoencoder"]().eval(), strokes(1, True, 0), strokes(3, True, 0))
