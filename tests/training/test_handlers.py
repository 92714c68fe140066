"""Metrics, clipping, early stopping and codebook handlers, each on a bare engine."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks import VAE, VQVAE, CoderConfig, Detector, UNetConfig, VQVAEConfig, build_quantizer
from fracture_vae.objectives import VQTerms
from fracture_vae.training import (
    CodebookInitialiser,
    CodebookUse,
    EarlyStopping,
    GradientClipping,
    LatentWatch,
    choose,
)
from fracture_vae.training.metrics import MeanTerm, key_metric, lower_is_better, mean_terms


def epoch_mean(values: Tensor, sizes: list[int]) -> float:
    """MeanTerm of per-image values seen in batches of the given sizes."""
    metric = MeanTerm("recon")
    engine = Engine(lambda _, batch: batch)
    metric.attach(engine, "recon_loss")
    batches = []
    for own in values.split(sizes):
        mean = own.mean()
        batches.append(
            {
                CommonKeys.PRED: VQTerms(mean, mean, mean, mean, mean),
                CommonKeys.IMAGE: {"image": torch.zeros(len(own), 1)},
            }
        )
    return engine.run(batches).metrics["recon_loss"]


def test_an_epoch_s_mean_does_not_depend_on_the_batches() -> None:
    values = torch.rand(7)
    expected = pytest.approx(values.double().mean().item(), rel=1e-6)
    for sizes in ([7], [1] * 7, [4, 3], [3, 3, 1]):
        assert epoch_mean(values, sizes) == expected


def test_models_are_chosen_by_the_reconstruction_loss_lower_being_better() -> None:
    assert list(key_metric()) == ["recon_loss"]
    assert set(mean_terms(VQTerms._fields)) == {"total_loss", "vq_loss", "structure_loss", "perceptual_loss"}
    assert lower_is_better(0.1, 0.2)
    assert not lower_is_better(0.2, 0.1)
    assert not lower_is_better(0.1, 0.1)


def clipping_engine(parameter: Tensor, gradients: list[Tensor], max_norm: float = 1.0) -> tuple[Engine, list[Tensor]]:
    """An engine whose steps leave the given gradients, and what clipping makes of them."""
    clipped: list[Tensor] = []

    def step(engine: Engine, gradient: Tensor) -> None:
        parameter.grad = gradient.clone()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        clipped.append(parameter.grad.clone())

    engine = Engine(step)
    engine.register_events(*IterationEvents)
    GradientClipping(nn.ParameterList([parameter]), max_norm).attach(engine)
    return engine, clipped


def test_gradients_are_clipped_to_the_norm_and_small_ones_left_alone() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    engine, clipped = clipping_engine(parameter, [], max_norm=1.0)
    engine.run([torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])])
    torch.testing.assert_close(clipped[0], torch.tensor([0.6, 0.8]), atol=1e-5, rtol=0)
    assert torch.equal(clipped[1], torch.tensor([0.3, 0.4]))


def test_a_detector_s_head_and_reconstructor_are_clipped_apart() -> None:
    detector = Detector.example()
    engine = Engine(lambda *_: None)
    engine.register_events(*IterationEvents)
    GradientClipping(detector, 1.0).attach(engine)
    for parameter in detector.parameters():
        parameter.grad = torch.full_like(parameter, 1e-6)
    large = next(detector.reconstructor.parameters())
    large.grad = torch.full_like(large, 100.0)
    engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
    assert large.grad.norm().item() == pytest.approx(1, abs=1e-5)
    assert all(torch.equal(p.grad, torch.full_like(p, 1e-6)) for p in detector.head.parameters())


def test_the_parts_of_a_detector_are_all_of_it() -> None:
    detector = Detector.example()
    parts = [parameter for part in detector.parts for parameter in part.parameters()]
    assert {*map(id, parts)} == {*map(id, detector.parameters())}
    alone = Detector(None, UNetConfig(channels=(2, 2)))
    assert alone.parts == (alone.head,)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stops_before_the_handlers_that_save(bad: float) -> None:
    engine, _ = clipping_engine(nn.Parameter(torch.zeros(2)), [])
    saved: list[int] = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: saved.append(e.state.epoch))
    with pytest.raises(InputError, match=r"diverged in epoch 1 .*learning_rate"):
        engine.run([torch.tensor([bad, 1.0]), torch.ones(2)])
    assert saved == []


@pytest.mark.parametrize("norm", [0, -1.0, float("nan")])
def test_a_clip_that_is_not_positive_is_refused(norm: float) -> None:
    with pytest.raises(InputError, match="gradient_clip"):
        GradientClipping(nn.Identity(), norm)


def trained_epochs(values: list[float], patience: int, state: dict[str, Any] | None = None) -> tuple[int, Any]:
    """How many epochs a training runs whose validations give ``values``, and the handler."""
    trainer, evaluator = Engine(lambda *_: None), Engine(lambda *_: None)
    handler = EarlyStopping(evaluator, patience)
    handler.attach(trainer)
    if state is not None:
        handler.load_state_dict(state)

    def validate(engine: Engine) -> None:
        evaluator.state.metrics = {"recon_loss": values[engine.state.epoch - 1]}
        evaluator.state.key_metric_name = "recon_loss"
        evaluator.fire_event(Events.COMPLETED)

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    trainer.run([0], max_epochs=len(values))
    return trainer.state.epoch, handler


def test_training_stops_after_patience_validations_without_a_lower_loss() -> None:
    assert trained_epochs([0.5, 0.4, 0.45, 0.4, 0.3, 0.3, 0.31, 0.9, 0.1], patience=3)[0] == 8
    assert trained_epochs([0.5, 0.4, 0.3, 0.2, 0.1], patience=1)[0] == 5


def test_early_stopping_goes_on_counting_after_a_resume() -> None:
    _, handler = trained_epochs([0.5, 0.6, 0.6], patience=5)
    assert trained_epochs([0.6] * 9, patience=5, state=handler.state_dict())[0] == 3


def vqvae(num_codes: int = 8) -> VQVAE:
    return VQVAE(VQVAEConfig(spatial_dims=2, channels=(4, 8)), build_quantizer("vq", num_codes=num_codes, dim=8))


def test_the_codebook_starts_from_encoder_vectors_once() -> None:
    torch.manual_seed(0)
    network = vqvae()
    loader = [{"image": torch.rand(4, 1, 16, 16)}]  # 64 vectors a batch, 8 a code wanted
    engine = Engine(lambda *_: None)
    CodebookInitialiser(network, loader, choose("cpu", "fp32", False)).attach(engine)
    engine.run([0])
    assert not network.quantizer.needs_vectors
    with torch.no_grad():
        vectors = network.encode(loader[0]["image"]).movedim(1, -1).reshape(-1, 8)
    distance = torch.cdist(network.quantizer.codebook, vectors).min(1).values
    assert distance.max() < vectors.std() * 3, "every code lies among the data"
    before = network.quantizer.codebook.clone()
    engine.run([0])
    assert torch.equal(before, network.quantizer.codebook)


def test_codebook_use_is_measured_over_an_epoch_not_a_batch() -> None:
    torch.manual_seed(0)
    network = vqvae(4)
    engine = Engine(lambda _, codes: network.quantizer.count(codes))
    CodebookUse(network).attach(engine)
    metrics = engine.run([torch.tensor([0, 0]), torch.tensor([1, 1])], max_epochs=2).metrics
    assert metrics["perplexity"] == pytest.approx(2.0)  # each batch alone has perplexity 1
    assert metrics["codebook_usage"] == pytest.approx(0.5)


def test_early_stopping_reads_the_evaluator_s_key_metric() -> None:
    from fracture_vae.training.metrics import key_value

    state = SimpleNamespace(metrics={"a": 3.0, "recon_loss": 0.25}, key_metric_name="recon_loss")
    assert key_value(SimpleNamespace(state=state)) == 0.25


def test_weights_that_are_not_finite_stop_the_training() -> None:
    parameter = torch.nn.Parameter(torch.tensor([torch.inf]))
    engine = Engine(lambda *_: None)
    engine.register_events(*IterationEvents)
    GradientClipping(nn.ParameterList([parameter]), 1.0).attach(engine)
    with pytest.raises(InputError, match="a weight is not finite"):
        engine.run([0], max_epochs=1)


def warned_of(metrics: dict[str, float], trainers: dict[str, float], caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the watch warns of where a validation and an epoch ended with these metrics; KL from N(0, 1) is 2 nats."""
    network = VAE(CoderConfig(shape=(4,), hidden=(), latent=2))
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.zero_()
        network.head.mean.weight[0, 0] = 2.0
    run_log = SimpleNamespace(writer=None)
    batch = {"image": torch.eye(4)[:1].repeat(4, 1) * torch.tensor([[-1.0], [1], [-1], [1]])}
    watch = LatentWatch(network, [batch], choose("cpu", "fp32"), run_log, Engine(lambda *_: None))
    watch(
        SimpleNamespace(state=SimpleNamespace(metrics=metrics)),
        SimpleNamespace(state=SimpleNamespace(epoch=1, metrics=trainers)),
    )
    return [record.message for record in caplog.records if "posterior collapse" in record.message]


def test_a_collapse_is_one_towards_the_prior_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    assert warned_of({}, {}, caplog) == []
    (warned,) = warned_of({"kl_loss": 0.25}, {}, caplog)
    assert "KL is 0.25 nats" in warned


def test_a_capacity_that_asks_for_no_code_yet_is_no_collapse(caplog: pytest.LogCaptureFixture) -> None:
    assert warned_of({"kl_loss": 0.25}, {"capacity": 0.0}, caplog) == []
    assert len(warned_of({"kl_loss": 0.25}, {"capacity": 2.5}, caplog)) == 1


def test_a_latent_space_that_is_lost_ends_the_training() -> None:
    network = VAE(CoderConfig(shape=(4,), hidden=(), latent=2))
    with torch.no_grad():
        network.head.mean.weight.fill_(1e30)
    run_log = SimpleNamespace(writer=None)
    watch = LatentWatch(network, [{"image": torch.ones(3, 4)}], choose("cpu", "fp32"), run_log, Engine(lambda *_: None))
    trainer = SimpleNamespace(state=SimpleNamespace(epoch=7))
    with pytest.raises(InputError, match="training diverged in epoch 7 \\(the KL divergence is not finite\\): lower"):
        watch(SimpleNamespace(state=SimpleNamespace(metrics={})), trainer)
