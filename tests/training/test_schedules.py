"""Schedules and the learning rate: values at the ends, in the middle, and torch's own."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import CosineAnnealingLR

from fracture_vae.errors import InputError
from fracture_vae.training.learning_rate import learning_rate_schedule
from fracture_vae.training.schedules import constant, cosine, cyclical, delayed, linear


def optimizer(lr: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(name: str, epochs: int, start: float = 1e-4, end: float = 1e-6) -> list[float]:
    """The learning rate of each epoch as a trainer meets it."""
    adjusted = optimizer(start)
    trainer = Engine(lambda *_: None)
    learning_rate_schedule(name, adjusted, start, end, epochs, None).attach(trainer)
    seen: list[float] = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: seen.append(adjusted.param_groups[0]["lr"]))
    trainer.run([0], max_epochs=epochs)
    return seen


@pytest.mark.parametrize(
    ("factory", "values"),
    [(constant, (2.0, 2.0, 2.0, 2.0)), (linear, (2.0, 1.5, 1.0, 1.0)), (cosine, (2.0, 1.5, 1.0, 1.0))],
)
def test_values_at_the_start_in_the_middle_at_the_end_and_beyond(factory: Any, values: tuple[float, ...]) -> None:
    schedule = factory(2.0, 1.0, 10)
    assert [schedule(epoch) for epoch in (0, 5, 10, 15)] == pytest.approx(values)


def test_a_quarter_of_the_way_the_cosine_is_still_high() -> None:
    assert cosine(1.0, 0.0, 8)(2) == pytest.approx((1 + 2**-0.5) / 2)


def test_cycles_rise_for_half_their_length_and_start_again() -> None:
    schedule = cyclical(0.0, 1.0, 40)
    assert [schedule(epoch) for epoch in range(11)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 0])
    assert schedule(40) == schedule(99) == 1.0
    assert [cyclical(0.0, 2.0, 8, cycles=1, rise=1.0)(epoch) for epoch in (0, 4, 8)] == [0.0, 1.0, 2.0]


def test_a_delayed_schedule_begins_late() -> None:
    schedule = delayed(linear(1.0, 3.0, 2), 3)
    assert [schedule(epoch) for epoch in range(7)] == [0, 0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize("epochs", [1, 7, 200])
def test_cosine_is_torch_s_cosine_annealing_at_every_epoch(epochs: int) -> None:
    adjusted = optimizer(1e-4)
    theirs = CosineAnnealingLR(adjusted, T_max=epochs, eta_min=1e-6)
    expected = []
    for _ in range(epochs):
        expected.append(adjusted.param_groups[0]["lr"])
        adjusted.step()
        theirs.step()
    assert rates("cosine", epochs) == pytest.approx(expected, rel=1e-9)


def test_plateau_halves_the_rate_when_validation_stops_falling_and_remembers_its_count() -> None:
    def handler(adjusted: torch.optim.Optimizer, evaluator: Engine) -> Any:
        made = learning_rate_schedule("plateau", adjusted, 1.0, 0.3, 100, evaluator)
        made.attach(Engine(lambda *_: None))
        return made

    def validate(evaluator: Engine, value: float) -> None:
        evaluator.state.metrics = {"recon_loss": value}
        evaluator.state.key_metric_name = "recon_loss"
        evaluator.fire_event(Events.COMPLETED)

    adjusted, evaluator = optimizer(), Engine(lambda *_: None)
    first = handler(adjusted, evaluator)
    for value in (0.5, 0.4, *[0.4] * 8):  # the patience of 10 counts from 0.4
        validate(evaluator, value)
    assert adjusted.param_groups[0]["lr"] == 1.0
    resumed, other = optimizer(), Engine(lambda *_: None)
    second = handler(resumed, other)
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        validate(other, 0.4)
    assert resumed.param_groups[0]["lr"] == 0.5
    for _ in range(40):
        validate(other, 0.4)
    assert resumed.param_groups[0]["lr"] == 0.3, "not below the end"


def test_an_unknown_schedule_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        learning_rate_schedule("cosin", optimizer(), 1.0, 0.1, 10, SimpleNamespace())
