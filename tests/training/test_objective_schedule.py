"""A handler moves an objective's weight, and an adaptive β follows the KL divergence."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from fracture_vae.errors import InputError
from fracture_vae.objectives import ELBO
from fracture_vae.objectives.elbo import small_vae
from fracture_vae.training.objective_schedule import AdaptiveBeta, KLPlan, kl_control, weight_schedule


def run(handler: Any, objective: ELBO, epochs: int, kl: float = 0.0) -> tuple[list[float], list[float]]:
    """β in each epoch's step, and as the epoch's metrics show it."""
    seen, shown = [], []

    def step(engine: Engine, batch: Any) -> dict[str, Any]:
        seen.append(float(objective.beta))
        return {"pred": SimpleNamespace(kl=torch.tensor(kl))}

    trainer = Engine(step)
    handler.attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: shown.append(engine.state.metrics["beta"]))
    trainer.run([0], max_epochs=epochs)
    return seen, shown


def test_beta_rises_after_the_epochs_in_which_the_kl_term_is_skipped() -> None:
    objective = ELBO(small_vae())
    plan = KLPlan(beta=4.0, schedule="linear", epochs=4, delay=2)
    seen, shown = run(kl_control(objective, plan), objective, 8)
    assert seen == shown == [0, 0, 0, 1, 2, 3, 4, 4]


def test_a_constant_beta_is_what_it_is_after_its_delay() -> None:
    objective = ELBO(small_vae())
    seen, _ = run(kl_control(objective, KLPlan(beta=4.0, delay=1)), objective, 3)
    assert seen == [0, 4, 4]


def test_validation_runs_with_the_weights_the_schedules_end_at() -> None:
    objective = ELBO(small_vae(), capacity=20.0)
    during: list[tuple[float, float]] = []
    evaluator = Engine(lambda *_: during.append((float(objective.beta), float(objective.capacity))))
    plan = KLPlan(beta=4.0, schedule="linear", epochs=4, capacity=20.0, capacity_epochs=4)
    trainer = Engine(lambda *_: None)
    kl_control(objective, plan, evaluator).attach(trainer)
    after: list[tuple[float, float]] = []

    def validate(engine: Engine) -> None:
        evaluator.run([0])
        after.append((float(objective.beta), float(objective.capacity)))

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    trainer.run([0], max_epochs=3)
    assert during == [(4.0, 20.0)] * 3
    assert after == [(0, 0), (1, 5), (2, 10)]


def test_a_plan_goes_on_over_a_resume() -> None:
    objective = ELBO(small_vae(), beta=1.0)
    handler = kl_control(objective, KLPlan(schedule="adaptive", kl_target=10.0))
    run(handler, objective, 5, kl=0.0)
    other = ELBO(small_vae())
    kl_control(other, KLPlan(schedule="adaptive")).load_state_dict(handler.state_dict())
    assert float(other.beta) == pytest.approx(1.02**-5)


def test_a_capacity_rises_too() -> None:
    objective = ELBO(small_vae(), capacity=0.0)
    handler = weight_schedule(objective, "capacity", "linear", 0.0, 25.0, 5)
    handler(SimpleNamespace(state=SimpleNamespace(epoch=4)))
    assert float(objective.capacity) == 15


@pytest.mark.parametrize(("kl", "direction"), [(2.0, -1), (10.2, 0), (11.0, 1)])
def test_an_adaptive_beta_falls_below_the_target_and_rises_above_it(kl: float, direction: int) -> None:
    objective = ELBO(small_vae(), beta=0.5)
    seen, _ = run(AdaptiveBeta(objective, target=10.0), objective, 3, kl)
    assert seen == pytest.approx([0.5 * 1.02 ** (direction * step) for step in range(3)])


def test_an_adaptive_beta_stays_within_its_bounds_and_is_kept_over_a_resume() -> None:
    objective = ELBO(small_vae(), beta=1.0)
    handler = AdaptiveBeta(objective, target=10.0)
    assert max(run(handler, objective, 5, kl=99.0)[0]) == 1.0
    assert run(handler, objective, 600, kl=0.0)[0][-1] == pytest.approx(1e-4)
    other = ELBO(small_vae())
    AdaptiveBeta(other, 10.0).load_state_dict(handler.state_dict())
    assert float(other.beta) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda o: weight_schedule(o, "gamma", "linear", 0, 1, 1), "has no weight 'gamma'"),
        (lambda o: kl_control(o, KLPlan(schedule="linaer")), "did you mean 'linear'"),
        (lambda o: kl_control(o, KLPlan(schedule="linear", start=-1)), "none may be negative"),
        (lambda o: kl_control(o, KLPlan(schedule="adaptive", kl_target=0)), "kl_target is 0"),
        (lambda o: kl_control(o, KLPlan(capacity=3.0)), "to neither"),
    ],
)
def test_what_cannot_be_is_told(make: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        make(ELBO(small_vae()))
