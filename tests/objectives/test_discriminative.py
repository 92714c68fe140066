"""What a detector learns: the reconstruction's terms as they are, and the head's beside them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks import (
    VAE,
    VQVAE,
    Autoencoder,
    CoderConfig,
    Detector,
    UNet,
    UNetConfig,
    VQVAEConfig,
    build_quantizer,
)
from fracture_vae.objectives import ELBO, IWAE, Autoencoding, Discriminative, InfoVAE, Reconstruction, VQReconstruction


def vqvae() -> VQVAE:
    return VQVAE(VQVAEConfig(spatial_dims=2, channels=(4,)), build_quantizer("vq", num_codes=8, dim=4))


CODERS = CoderConfig(shape=(1, 8, 8), latent=3, hidden=(8,))
WRAPPED = {
    "vq": lambda: VQReconstruction(vqvae()),
    "unet": lambda: Reconstruction(UNet(UNetConfig(spatial_dims=2, channels=(4, 8)))),
    "autoencoder": lambda: Autoencoding(Autoencoder(CODERS)),
    "elbo": lambda: ELBO(VAE(CODERS)),
    "info_vae": lambda: InfoVAE(VAE(CODERS)),
    "iwae": lambda: IWAE(VAE(CODERS), samples=3),
}
"""Every objective that restores, on images of 8 x 8."""


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image, anomaly = torch.rand(2, 1, 8, 8, generator=generator), torch.zeros(2, 1, 8, 8)
    anomaly[..., 2:5, 3:7] = 1
    return {"image": image, "corrupted": image * (1 - anomaly), "anomaly": anomaly}


def around(wrapped: Any, **options: Any) -> Discriminative:
    return Discriminative(Detector(wrapped.network, UNetConfig(spatial_dims=2, channels=(4, 8))), wrapped, **options)


def seeded(call: Any, *arguments: Any) -> Any:
    torch.manual_seed(1)
    return call(*arguments)


@pytest.mark.parametrize("name", WRAPPED)
def test_every_reconstruction_can_be_wrapped_and_keeps_its_terms_and_gradients(name: str) -> None:
    torch.manual_seed(0)
    wrapped = WRAPPED[name]().train()
    wrapped.network.eval()  # no batch statistics or codebook that the first call would move
    alone = seeded(wrapped, batch())
    alone.total.backward()
    expected = {key: p.grad.clone() for key, p in wrapped.network.named_parameters()}
    wrapped.zero_grad()
    terms = seeded(around(wrapped, weight=0.5), batch())
    assert terms._fields == (*alone._fields, "segmentation")
    for field in alone._fields[1:]:
        torch.testing.assert_close(getattr(terms, field), getattr(alone, field))
    torch.testing.assert_close(terms.total, alone.total + 0.5 * terms.segmentation)
    terms.total.backward()
    for key, parameter in wrapped.network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key])


@pytest.mark.parametrize("name", WRAPPED)
def test_the_network_sees_the_corrupted_image_and_the_target_is_the_clean_one(name: str) -> None:
    torch.manual_seed(0)
    objective, given = WRAPPED[name]().eval(), batch()
    of_both = seeded(objective.restore, given)
    torch.testing.assert_close(of_both.reconstruction, seeded(objective.restore, {"image": given["corrupted"]})[1])
    other_target = seeded(objective.restore, {**given, "image": 1 - given["image"]})
    assert torch.equal(other_target.reconstruction, of_both.reconstruction)
    assert other_target.terms.recon != of_both.terms.recon


@pytest.mark.parametrize("name", ["vq", "unet"])
def test_a_perfect_restoration_costs_nothing(name: str) -> None:
    torch.manual_seed(0)
    objective, given = WRAPPED[name]().eval(), batch()
    made = objective.restore(given).reconstruction
    assert objective({**given, "image": made}).recon.item() == 0
    assert objective(given).recon.item() > 0


def test_the_head_is_asked_about_the_corrupted_image() -> None:
    torch.manual_seed(0)
    objective, given = around(WRAPPED["unet"]()).eval(), batch()
    logits = objective.network.locate(given["corrupted"], objective.network(given["corrupted"]))
    terms = objective(given)
    assert terms.segmentation.item() == pytest.approx(
        objective.segmentation(logits, given["anomaly"], None).item(), rel=1e-5
    )


def test_padding_counts_neither_for_the_reconstruction_nor_for_the_head() -> None:
    torch.manual_seed(0)
    objective, given = around(WRAPPED["unet"]()).eval(), batch()
    valid = torch.ones_like(given["image"])
    valid[..., 6:, :] = 0
    wrong = torch.where(valid > 0, given["anomaly"], 1 - given["anomaly"])
    moved = torch.where(valid > 0, given["image"], 1 - given["image"])
    first = objective({**given, "valid": valid})
    second = objective({**given, "valid": valid, "anomaly": wrong, "image": moved})
    assert torch.equal(torch.stack(list(first)), torch.stack(list(second)))


def test_it_compiles_to_one_graph() -> None:
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    objective = around(WRAPPED["vq"]()).train()
    compiled = torch.compile(objective, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        compiled(batch()).total.backward()
    assert counters["stats"]["unique_graphs"] == 1


def test_batches_without_anything_to_find_are_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="set a corruption"):
        around(WRAPPED["unet"]())({"image": batch()["image"]})


def test_an_objective_of_another_network_is_refused() -> None:
    detector = Detector(nn.Identity(), UNetConfig(spatial_dims=2, channels=(4, 8)))
    with pytest.raises(InputError, match="the detector's own reconstructor"):
        Discriminative(detector, WRAPPED["unet"]())
    with pytest.raises(InputError, match="weight is -1"):
        around(WRAPPED["unet"](), weight=-1)


def test_a_head_alone_learns_from_its_own_loss_and_nothing_else() -> None:
    torch.manual_seed(0)
    network = Detector(None, UNetConfig(spatial_dims=2, channels=(4, 8)))
    _, batch = Discriminative.example()
    terms = Discriminative(network, None, weight=3.0)(batch)
    assert terms._fields == ("total", "segmentation")
    torch.testing.assert_close(terms.total, 3 * terms.segmentation)
    with pytest.raises(InputError, match="own reconstructor"):
        Discriminative(Discriminative.example()[0].network, None)


def test_what_the_head_does_not_look_at_does_not_count() -> None:
    torch.manual_seed(0)
    window = [[0, 1], [0.5, 1]]
    network = Detector(None, UNetConfig(spatial_dims=2, channels=(4, 8)), window=window).eval()
    batch = {"image": torch.rand(2, 1, 16, 16), "anomaly": torch.ones(2, 1, 16, 16)}
    half = {"image": batch["image"][..., 8:], "anomaly": batch["anomaly"][..., 8:]}
    alone = Detector(None, UNetConfig(spatial_dims=2, channels=(4, 8))).eval()
    alone.head = network.head
    whole, part = (Discriminative(one, None, "bce")(given) for one, given in ((network, batch), (alone, half)))
    torch.testing.assert_close(whole.segmentation, part.segmentation)
