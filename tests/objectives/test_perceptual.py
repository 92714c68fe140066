"""The perceptual term: by hand, scale free, and without a way for an encoder to make it small by seeing less."""

from pathlib import Path

import pytest
import torch

from fracture_vae.errors import InputError
from fracture_vae.jobs import train_bundle
from fracture_vae.networks import VAE, VQVAE, Autoencoder, CoderConfig, VQVAEConfig, build_quantizer
from fracture_vae.objectives import ELBO, Autoencoding, FeatureDistance, InfoVAE, VQReconstruction
from fracture_vae.training import perceptual_distance
from fracture_vae.training.checkpoints import best_checkpoint, load

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
FLAT = CoderConfig(shape=(2,), latent=1, hidden=(2,))
CONVOLUTIONAL = CoderConfig(shape=(1, 8, 8), latent=2, architecture="conv", channels=(3, 4), norm="batch", dropout=0.3)


def identity() -> Autoencoder:
    """An autoencoder whose one hidden layer gives the sample itself, where it is positive."""
    network = Autoencoder(FLAT, "identity")
    with torch.no_grad():
        network.encoder.layers[1][0].weight.copy_(torch.eye(2))
        network.encoder.layers[1][0].bias.zero_()
    return network


def test_the_distance_by_hand() -> None:
    distance = FeatureDistance(identity().encoder)
    image, reconstruction = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[3.0, 3.0], [1.0, -5.0]])
    assert distance(image, reconstruction).item() == pytest.approx((1 / 25 + 0) / 2, rel=1e-5), "relu hides the -5"
    assert distance(image, image).item() == 0


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_layers_count_alike_whatever_the_size_of_their_features(architecture: str) -> None:
    torch.manual_seed(0)
    config = CoderConfig(shape=(1, 8, 8), latent=2, hidden=(6, 5), channels=(3, 4), architecture=architecture)
    encoder = VAE(config).encoder
    distance, (a, b) = FeatureDistance(encoder), torch.rand(2, 4, 1, 8, 8)
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                module.bias.zero_()
        before = distance(a, b).item()
        for module in encoder.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                module.weight.mul_(0.1)
    assert before > 0.001
    assert distance(a, b).item() == pytest.approx(before, rel=1e-3)


def test_gradients_reach_the_reconstruction_and_never_the_encoder_nor_its_running_statistics() -> None:
    torch.manual_seed(0)
    encoder = VAE(CONVOLUTIONAL).train().encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    reconstruction = torch.rand(4, 1, 8, 8, requires_grad=True)
    FeatureDistance(encoder)(torch.rand(4, 1, 8, 8), reconstruction).backward()
    assert reconstruction.grad is not None
    assert reconstruction.grad.any()
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_it_enters_the_total_with_its_weight_and_adds_no_parameters() -> None:
    torch.manual_seed(0)
    batch = {"image": torch.rand(4, 1, 8, 8)}
    network = VAE(CoderConfig(shape=(1, 8, 8), latent=2, hidden=(6,))).eval()
    objective = ELBO(network, perceptual=FeatureDistance(network.encoder), perceptual_weight=3.0)
    terms = objective(batch)
    assert terms.perceptual.item() > 0
    assert terms.total.item() == pytest.approx((terms.recon + terms.kl + 3 * terms.perceptual).item(), rel=1e-5)
    assert objective.state_dict().keys() == ELBO(network).state_dict().keys()
    plain = Autoencoder(CoderConfig(shape=(1, 8, 8), latent=2, hidden=(6,))).eval()
    ae = Autoencoding(plain, perceptual=FeatureDistance(plain.encoder), perceptual_weight=2.0)(batch)
    assert ae.total.item() == pytest.approx((ae.recon + 2 * ae.perceptual).item(), rel=1e-5)
    assert Autoencoding(plain)(batch).perceptual.item() == 0


def test_every_objective_that_takes_it_counts_it() -> None:
    torch.manual_seed(0)
    batch = {"image": torch.rand(4, 1, 8, 8)}
    vae = VAE(CoderConfig(shape=(1, 8, 8), latent=2, hidden=(6,))).eval()
    info = InfoVAE(vae, alpha=0.5, scale=1.0, perceptual=FeatureDistance(vae.encoder), perceptual_weight=2.0)(batch)
    without = info.recon + 0.5 * info.kl + 0.5 * info.penalty
    assert info.total.item() == pytest.approx((without + 2 * info.perceptual).item(), rel=1e-5)
    config = VQVAEConfig(spatial_dims=2, channels=(3, 4), dropout=0.0)
    vq = VQVAE(config, build_quantizer("vq", num_codes=8, dim=4)).eval()
    distance = FeatureDistance(vq.encoder)
    terms = VQReconstruction(vq, perceptual=distance, perceptual_weight=2.0)(batch)
    assert terms.total.item() == pytest.approx((terms.recon + terms.vq + 2 * terms.perceptual).item(), rel=1e-5)
    a, b = torch.rand(2, 4, 1, 8, 8)
    layers = [(vq.encoder[0](x), vq.encoder(x)) for x in (a, b)]
    parts = [((f - g).square().sum((1, 2, 3)) / f.square().sum((1, 2, 3))).mean() for f, g in zip(*layers, strict=True)]
    assert distance(a, b).item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-5)
    valid = torch.zeros(4, 1, 8, 8)
    valid[..., :5] = 1
    masked = VQReconstruction(vq, perceptual=distance)({**batch, "valid": valid})
    seen = distance(batch["image"] * valid, vq(batch["image"]) * valid)
    assert masked.perceptual.item() == pytest.approx(seen.item(), rel=1e-5)


def test_the_own_encoder_is_read_as_it_is_trained() -> None:
    network = identity()
    distance = perceptual_distance("own", network, (2,), "cpu")
    assert distance is not None
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 3.0]])
    before = distance(a, b).item()
    with torch.no_grad():
        network.encoder.layers[1][0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert before > 0
    assert distance(a, b).item() == 0, "the second value is no longer seen"


def test_the_encoder_of_a_run_folder_is_taken_and_stays(tmp_path: Path) -> None:
    settings = {
        "data": "digits", "limit": 32, "latent": 2, "hidden": [6], "max_epochs": 1, "batch_size": 16, "device": "cpu",
        "precision": "fp32", "compile": False, "progress": False, "save_weights": True,
    }  # fmt: skip
    train_bundle(BUNDLES / "mnist_ae", None, [], {**settings, "project_dir": str(tmp_path)})
    run = tmp_path / "mnist_ae" / "latest"
    network = VAE(CoderConfig(latent=3, hidden=(5,)))
    distance = perceptual_distance(str(run), network, (1, 28, 28), "cpu")
    held = load(best_checkpoint(run.resolve()))["network"]
    other = Autoencoder(CoderConfig(latent=2, hidden=(6,))).eval()
    other.load_state_dict(held)
    a, b = torch.rand(2, 3, 1, 28, 28)
    assert distance is not None
    assert torch.equal(distance(a, b), FeatureDistance(other.encoder)(a, b))
    with pytest.raises(InputError, match=r"is for samples of \[1, 28, 28\], not \[2\]"):
        perceptual_distance(str(run), identity(), (2,), "cpu")


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    network = identity()
    assert perceptual_distance("none", network, (2,), "cpu") is None
    with pytest.raises(InputError, match="no such file; give none, own"):
        perceptual_distance("owm", network, (2,), "cpu")
    torch.save({"network": {}}, tmp_path / "plain.pt")
    with pytest.raises(InputError, match="holds no autoencoder or VAE of this package"):
        perceptual_distance(str(tmp_path / "plain.pt"), network, (2,), "cpu")
    with pytest.raises(InputError, match="a linear encoder has no hidden layers"):
        FeatureDistance(Autoencoder(CoderConfig(shape=(2,), latent=1, hidden=())).encoder)
    with pytest.raises(InputError, match="perceptual_weight is -1"):
        ELBO(VAE(FLAT, output="identity"), "gaussian", perceptual_weight=-1)
