"""What every registered component must do, a third party's too: one group of tests a store."""

import io
import json
import math
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fracture_vae import registry
from fracture_vae.errors import InputError
from fracture_vae.maps.scores import Score, Seen, build_score
from fracture_vae.maps.views import Views
from fracture_vae.networks import Fitted, Quantized, Quantizer
from fracture_vae.transforms.corruption import Corrupted, rows

registry.load_plugins()


def registered(store: Any) -> Any:
    """Parametrise over the names in a store."""
    return pytest.mark.parametrize("name", list(store.names))


TRAINED = [name for name in registry.NETWORKS.names if not issubclass(registry.NETWORKS[name], Fitted)]
DETECTING = [name for name in TRAINED if hasattr(registry.NETWORKS[name], "locate")]
FITTED = [name for name in registry.NETWORKS.names if name not in TRAINED]


def made(store: Any, name: str, seed: int = 0) -> Any:
    """The component's example, the same for the same seed."""
    torch.manual_seed(seed)
    return store[name].example()


def gradients(module: nn.Module) -> dict[str, Tensor | None]:
    """Gradient of every parameter that trains."""
    return {name: p.grad for name, p in module.named_parameters() if p.requires_grad}


def assert_state_round_trips(module: nn.Module, other: nn.Module) -> None:
    """Save and load without pickle; the other module then holds the same tensors."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for key, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize("store", registry.STORES.values(), ids=lambda store: store.name)
def test_every_component_has_one_line_and_an_example(store: Any) -> None:
    for name, entry in store.components.items():
        assert entry.description, name
        assert "\n" not in entry.description, name
        assert callable(entry.value.example), name


# networks


@registered(registry.NETWORKS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_network_returns_one_tensor_of_the_image_shape(name: str, training: bool) -> None:
    network = made(registry.NETWORKS, name).train(training)
    shape = registry.NETWORKS[name].example_shape
    out = network(torch.rand(shape))
    assert isinstance(out, Tensor)
    assert out.shape == shape
    assert out.isfinite().all()


@pytest.mark.parametrize("name", TRAINED)
def test_network_gradients_reach_every_parameter(name: str) -> None:
    network = made(registry.NETWORKS, name).train()
    x = torch.rand(registry.NETWORKS[name].example_shape)
    reconstruct = getattr(network, "reconstruct", None)
    out = reconstruct(x) if reconstruct else (network(x),)
    loss = (out[0] - x).square().mean()
    for term in out[1:]:
        if term.ndim == 0 and term.is_floating_point():
            loss = loss + term
    if hasattr(network, "locate"):
        loss = loss + network.locate(x, network(x)).square().mean()
    if hasattr(network, "code_nll"):
        loss = loss + network.code_nll(network.quantize(network.encode(x)).codes).mean()
    loss.backward()
    assert [key for key, grad in gradients(network).items() if grad is None or not grad.any()] == []


@pytest.mark.parametrize("name", DETECTING)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_network_that_detects_returns_a_logit_a_voxel(name: str, training: bool) -> None:
    network = made(registry.NETWORKS, name).train(training)
    x = torch.rand(registry.NETWORKS[name].example_shape)
    torch.manual_seed(0)
    logits = network.locate(x, network(x))
    assert logits.shape == (len(x), 1, *x.shape[2:])
    assert logits.dtype == torch.float32


@registered(registry.NETWORKS)
def test_network_state_round_trips_and_decides_the_output(name: str) -> None:
    network, other = made(registry.NETWORKS, name), made(registry.NETWORKS, name, seed=1)
    assert_state_round_trips(network, other)
    x = torch.rand(registry.NETWORKS[name].example_shape)
    assert torch.equal(network.eval()(x), other.eval()(x))


@pytest.mark.parametrize("name", TRAINED)
def test_network_same_seed_same_run(name: str) -> None:
    def run() -> list[Tensor]:
        network = made(registry.NETWORKS, name).train()
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(3):
            optimiser.zero_grad()
            x = torch.rand(registry.NETWORKS[name].example_shape)
            (network(x) - x).square().mean().backward()
            optimiser.step()
        return [value.clone() for value in network.state_dict().values()]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


@pytest.mark.parametrize("name", FITTED)
def test_fitted_network_has_no_parameters_and_fits_the_same_twice(name: str) -> None:
    network, other = made(registry.NETWORKS, name), made(registry.NETWORKS, name)
    images = torch.rand(6, *registry.NETWORKS[name].example_shape[1:]).half()
    for each in (network, other):
        each.fit(images, torch.zeros(6, dtype=torch.int64))
    assert not list(network.parameters())
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())


# quantizers


def vectors(quantizer: Quantizer, spatial: tuple[int, ...] = (3, 4, 5)) -> Tensor:
    """Encoder vectors (2, D, *spatial)."""
    return torch.randn(2, quantizer.dim, *spatial, requires_grad=True)


@registered(registry.QUANTIZERS)
@pytest.mark.parametrize("spatial", [(6, 7), (3, 4, 5)], ids=["2d", "3d"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_quantizer_shapes_types_and_ranges(name: str, spatial: tuple[int, ...], training: bool) -> None:
    quantizer = made(registry.QUANTIZERS, name).train(training)
    z = vectors(quantizer, spatial)
    out = quantizer(z)
    assert isinstance(out, Quantized)
    assert out.quantized.shape == z.shape
    assert out.loss.shape == ()
    assert out.loss.isfinite()
    assert out.codes.shape == (2, *spatial)
    assert out.codes.dtype == torch.int64
    assert 0 <= out.codes.min() <= out.codes.max() < quantizer.num_codes


@registered(registry.QUANTIZERS)
def test_quantizer_values_are_the_looked_up_codes_and_evaluation_changes_nothing(name: str) -> None:
    quantizer = made(registry.QUANTIZERS, name)
    quantizer.train()(vectors(quantizer))
    quantizer.eval()
    before = {key: value.clone() for key, value in quantizer.state_dict().items()}
    with torch.no_grad():
        out = quantizer(vectors(quantizer))
        assert torch.allclose(quantizer.lookup(out.codes), out.quantized, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in quantizer.state_dict().items())


@registered(registry.QUANTIZERS)
def test_quantizer_passes_gradients_to_vectors_and_parameters(name: str) -> None:
    quantizer = made(registry.QUANTIZERS, name).train()
    z = vectors(quantizer)
    out = quantizer(z)
    ((out.quantized * torch.randn_like(out.quantized)).sum() + out.loss).backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert z.grad.any()
    assert [key for key, grad in gradients(quantizer).items() if grad is None or not grad.any()] == []


@registered(registry.QUANTIZERS)
def test_quantizer_state_round_trips(name: str) -> None:
    quantizer, other = made(registry.QUANTIZERS, name), made(registry.QUANTIZERS, name, seed=1)
    quantizer.train()(vectors(quantizer))
    assert_state_round_trips(quantizer, other)
    z = vectors(quantizer)
    assert torch.equal(quantizer.eval()(z).codes, other.eval()(z).codes)


@registered(registry.QUANTIZERS)
def test_quantizer_same_seed_same_run(name: str) -> None:
    def run() -> tuple[list[Tensor], Tensor]:
        quantizer = made(registry.QUANTIZERS, name).train()
        if quantizer.needs_vectors:
            quantizer.initialise(torch.randn(100, quantizer.dim))
        codes = [quantizer(vectors(quantizer)).codes for _ in range(3)]
        return [value.clone() for value in quantizer.state_dict().values()], torch.stack(codes)

    (state, codes), (state_again, codes_again) = run(), run()
    assert torch.equal(codes, codes_again)
    assert all(torch.equal(a, b) for a, b in zip(state, state_again, strict=True))


@registered(registry.QUANTIZERS)
def test_quantizer_counts_its_codes(name: str) -> None:
    quantizer = made(registry.QUANTIZERS, name)
    codes = torch.cat([quantizer.train(training)(vectors(quantizer)).codes.flatten() for training in (True, False)])
    frequency = torch.bincount(codes).double() / len(codes)
    usage = quantizer.usage()
    assert usage.used == pytest.approx(len(codes.unique()) / quantizer.num_codes)
    assert usage.perplexity == pytest.approx(math.exp(torch.special.entr(frequency).sum()))
    quantizer.reset_usage()
    assert quantizer.usage().used == 0


# objectives


@registered(registry.OBJECTIVES)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_objective_returns_named_scalars_the_first_of_them_total(name: str, training: bool) -> None:
    objective, batch = made(registry.OBJECTIVES, name)
    terms = objective.train(training)(batch)
    assert isinstance(terms, tuple)
    assert terms._fields[0] == "total"
    assert all(value.shape == () and value.isfinite() for value in terms)


@registered(registry.OBJECTIVES)
def test_objective_gradients_reach_every_parameter(name: str) -> None:
    objective, batch = made(registry.OBJECTIVES, name)
    objective.train()(batch).total.backward()
    assert [key for key, grad in gradients(objective).items() if grad is None or not grad.any()] == []


@registered(registry.OBJECTIVES)
def test_objective_state_round_trips(name: str) -> None:
    (objective, batch), (other, _) = made(registry.OBJECTIVES, name), made(registry.OBJECTIVES, name, seed=1)
    assert_state_round_trips(objective, other)
    torch.manual_seed(0)
    value = objective.eval()(batch).total
    torch.manual_seed(0)
    assert torch.equal(value, other.eval()(batch).total)


@registered(registry.OBJECTIVES)
def test_objective_same_seed_same_run(name: str) -> None:
    def run() -> Tensor:
        objective, batch = made(registry.OBJECTIVES, name)
        optimiser = torch.optim.Adam(objective.train().parameters(), lr=1e-3)
        totals = []
        for _ in range(3):
            optimiser.zero_grad()
            total = objective(batch).total
            total.backward()
            optimiser.step()
            totals.append(total.detach())
        return torch.stack(totals)

    assert torch.equal(run(), run())


# scores


class Able(nn.Module):
    """A network with all that a score may ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.reconstructor = made(registry.NETWORKS, "with_prior").eval()
        self.head = nn.Conv3d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        shown: Tensor = self.reconstructor(x)
        return shown

    def locate(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        logits: Tensor = self.head(x - reconstruction)
        return logits


def a_view() -> Seen:
    """Two images, and their network where a score needs one."""
    torch.manual_seed(0)
    return Seen(torch.rand(2, 1, 16, 16, 16), Able())


@registered(registry.SCORES)
@torch.no_grad()
def test_score_is_a_finite_map_of_each_image_by_itself(name: str) -> None:
    score = made(registry.SCORES, name)
    assert isinstance(score, Score)
    seen = a_view()
    image = seen.image.clone()
    result = score(seen)
    assert result.shape == (2, 1, 16, 16, 16)
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    assert result.any()
    assert torch.equal(seen.image, image)
    torch.testing.assert_close(score(Seen(image[1:], seen.network)), result[1:], atol=1e-4, rtol=1e-4)


@registered(registry.SCORES)
@torch.no_grad()
def test_score_says_what_it_needs_of_a_network_and_looks_at_the_pair_alone_where_it_says_nothing(name: str) -> None:
    score, seen = made(registry.SCORES, name), a_view()
    expected = score(seen)
    if score.needs:
        with pytest.raises(InputError, match="needs a network with"):
            Views([nn.Identity()], [score])
    else:
        pair = Seen(seen.image, reconstruction=seen.reconstruction, valid=seen.valid)
        assert torch.equal(score(pair), expected)


@registered(registry.SCORES)
def test_score_is_plain_options_that_build_it_again(name: str) -> None:
    score = made(registry.SCORES, name)
    options = json.loads(json.dumps(asdict(score)))
    assert build_score(name, **options) == score
    with pytest.raises(FrozenInstanceError):
        score.anything = 1
    with pytest.raises(InputError, match=f"score '{name}'"):
        build_score(name, no_such_option=1)


# schedules


@registered(registry.SCHEDULES)
def test_schedule_is_finite_and_depends_on_the_epoch_alone(name: str) -> None:
    schedule = made(registry.SCHEDULES, name)
    values = [schedule(epoch) for epoch in range(21)]
    assert all(math.isfinite(value) for value in values)
    assert values == [schedule(epoch) for epoch in range(21)]


# corruptions


def healthy(name: str, spatial: tuple[int, ...] = (20, 24, 22)) -> Tensor:
    """A batch of smooth images in [0, 1] of as many axes as the corruption works on, one of them half empty."""
    spatial = spatial[: max(registry.CORRUPTIONS[name].example().dims)]
    pool = {2: nn.functional.avg_pool2d, 3: nn.functional.avg_pool3d}[len(spatial)]
    images = pool(torch.rand(4, 1, *spatial, generator=torch.Generator().manual_seed(0)), 3, stride=1, padding=1)
    images[-1, :, : spatial[0] // 2] = 0
    return images


def tensors(params: Any) -> list[Tensor]:
    """All tensors of a corruption's parameters."""
    return [params] if isinstance(params, Tensor) else [value for part in params for value in tensors(part)]


@registered(registry.CORRUPTIONS)
def test_corruption_gives_images_in_range_and_a_truth_of_0_and_1_and_leaves_its_input_alone(name: str) -> None:
    corruption, images = registry.CORRUPTIONS[name].example(), healthy(name)
    before = images.clone()
    out = corruption.apply(images, corruption.draw(images, torch.Generator().manual_seed(0)))
    assert isinstance(out, Corrupted)
    assert torch.equal(images, before)
    assert out.image.shape == images.shape
    assert out.truth.shape == (4, 1, *images.shape[2:])
    assert out.image.dtype == out.truth.dtype == torch.float32
    assert 0 <= out.image.min() <= out.image.max() <= 1
    assert out.truth.unique().tolist() == [0, 1]
    marked = out.truth.amax(1, keepdim=True) > 0
    assert (out.image - images)[marked].abs().max() > 0.02, "what it marks is not what it changed"


@registered(registry.CORRUPTIONS)
def test_corruption_is_drawn_a_row_an_image_and_the_same_for_the_same_seed(name: str) -> None:
    corruption, images = registry.CORRUPTIONS[name].example(), healthy(name)
    drawn = [tensors(corruption.draw(images, torch.Generator().manual_seed(seed))) for seed in (1, 1, 2)]
    assert all(len(value) == len(images) for value in drawn[0])
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=False))


@registered(registry.CORRUPTIONS)
def test_corruption_replays_and_each_image_s_depends_on_its_row_alone(name: str) -> None:
    corruption, images = registry.CORRUPTIONS[name].example(), healthy(name)
    params = corruption.draw(images, torch.Generator().manual_seed(1))
    whole, again = corruption.apply(images, params), corruption.apply(images, params)
    assert torch.equal(whole.image, again.image)
    assert torch.equal(whole.truth, again.truth)
    for row in torch.arange(len(images)).split(1):
        alone = corruption.apply(images[row], rows(params, row))
        torch.testing.assert_close(alone.image, whole.image[row], atol=1e-5, rtol=0)
        assert (alone.truth != whole.truth[row]).float().mean() < 1e-3
