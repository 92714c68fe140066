"""What views run of a network: what scores and maps look at, and nothing else."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fracture_vae.maps.maker import MapMaker
from fracture_vae.maps.scores import compose
from fracture_vae.maps.views import Views
from fracture_vae.networks import build_network
from tests.maps.test_maker import case

RESTORES = {"name": "vqvae", "channels": [4, 8], "quantizer_options": {"num_codes": 8, "dim": 8}}


def detector(sees: str = "image") -> tuple[nn.Module, Counter[str]]:
    """A detector, and how often its head and its reconstructor ran."""
    network: Any = build_network("detector", reconstructor=RESTORES, head={"channels": [4, 8]}, sees=sees).eval()
    ran: Counter[str] = Counter()
    network.head.register_forward_hook(lambda *_: ran.update(["head"]))
    network.reconstructor.decoder.register_forward_hook(lambda *_: ran.update(["reconstructor"]))
    network.reconstructor.encoder.register_forward_hook(lambda *_: ran.update(["encoder"]))
    return network, ran


@torch.no_grad()
def shown(network: nn.Module, score: Any, kinds: list[str], image: Tensor) -> tuple[MapMaker, Tensor]:
    maker = MapMaker(compose(score))
    views = Views([network], maker.network_scores, maker.composition.flips, maker.reconstructs(kinds))
    return maker, views({"image": image})


@pytest.mark.parametrize(
    ("score", "sees", "kinds", "expected"),
    [
        ("l1", "image", ["error", "recon"], {"encoder": 1, "reconstructor": 1}),
        ("l1", "difference", ["error"], {"encoder": 1, "reconstructor": 1}),
        ("head", "image", ["error", "valid"], {"head": 1}),
        ("head", "image", ["error", "signed"], {"head": 1, "encoder": 1, "reconstructor": 1}),
        ("head", "difference", ["error", "valid"], {"head": 1, "encoder": 1, "reconstructor": 1}),
        (["head", "l1"], "image", ["error"], {"head": 1, "encoder": 1, "reconstructor": 1}),
        ({"score": "head", "flips": [0, 1]}, "image", ["error"], {"head": 4}),
        ("code_distance", "image", ["error"], {"encoder": 1}),
        (["intensity", "volume"], "image", ["error"], {}),
    ],
)
def test_only_what_is_looked_at_is_run(score: Any, sees: str, kinds: list[str], expected: dict[str, int]) -> None:
    network, ran = detector(sees)
    shown(network, score, kinds, torch.rand(1, 1, 16, 16, 16))
    assert ran == expected


@pytest.mark.parametrize("score", ["head", ["intensity", {"name": "head", "weight": 2}], "volume", "code_distance"])
def test_maps_are_the_same_with_and_without_a_reconstruction(score: Any) -> None:
    network, _ = detector()
    image = torch.rand(1, 1, 16, 16, 16)
    maker, alone = shown(network, score, ["error"], image)
    _, whole = shown(network, score, ["error", "recon"], image)
    assert alone.shape[1] == whole.shape[1] - 1
    made, expected = maker(case(image), alone), maker(case(image), whole)
    assert made.reconstruction is None
    assert expected.reconstruction is not None
    torch.testing.assert_close(made.error, expected.error)
    assert made.score == expected.score


def test_a_network_that_says_nothing_of_what_it_sees_is_given_its_reconstruction() -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

        def locate(self, x: Tensor, reconstruction: Tensor) -> Tensor:
            return x - reconstruction

    image = torch.rand(1, 1, 4, 4, 4)
    _, both = shown(Both(), ["head", "l1"], ["error"], image)
    torch.testing.assert_close(both, torch.cat([image / 2, (image / 2).sigmoid()], 1))
