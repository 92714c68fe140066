"""The performance benchmarks' arithmetic, by hand, and that they measure what they say."""

import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from torch.utils.flop_counter import FlopCounterMode

from fracture_vae.errors import InputError
from fracture_vae.networks import VQVAE, VQVAEConfig, build_quantizer
from tools.benchmarks.batch_size import parsed
from tools.benchmarks.family_speed import epochs_until
from tools.benchmarks.neighbour import Neighbour
from tools.benchmarks.performance_tables import batch_size, filled
from tools.benchmarks.precision import validation_loss
from tools.benchmarks.scaling import line
from tools.benchmarks.startup import FIRST_STEP
from tools.benchmarks.study import Bundle, volume, write_study
from tools.benchmarks.training import EpochClock, step_flops


def test_a_step_s_operations_are_those_of_the_plain_convolutions() -> None:
    network = VQVAE(VQVAEConfig(channels=(2, 3)), build_quantizer("vq", num_codes=4, dim=5))
    # forward, a layer: 2 · inputs · outputs · 64 taps · voxels of the smaller side
    outer, inner = 2 * 1 * 2 * 64 * 4**3, 2 * 2 * 3 * 64 * 2**3
    pointwise = 2 * 3 * 5 * 2**3
    assert step_flops(network, 7, 8) == 7 * (2 * outer + 3 * inner + 3 * inner + 3 * outer + 2 * 3 * pointwise)


def test_a_default_step_takes_no_fewer_operations_than_pytorch_counts_in_it() -> None:
    """Folded, the outer layers compute one more row of blocks on each axis, which is not counted as work."""
    network = VQVAE(VQVAEConfig(), build_quantizer("vq", init="normal"))
    network.quantizer._nearest = lambda rows: (torch.zeros(len(rows), dtype=torch.int64), rows[:, 0])  # type: ignore[method-assign]
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 1, 32, 32, 32)).sum().backward()
    counted = counter.get_total_flops()
    assert 0.8 * counted < step_flops(network, 1, 32) <= counted


def test_epochs_of_all_trainings_are_timed_in_turn() -> None:
    order: list[str] = []

    def other(name: str) -> Callable[[], object]:
        return lambda: (order.append(name), time.sleep(0.02))

    clock = EpochClock({"first": other("first"), "second": other("second")}, lambda: None)
    trainer = Engine(lambda *_: (order.append("ours"), time.sleep(0.05)))
    clock.attach(trainer)
    trainer.run([0, 1], max_epochs=2)
    assert order == ["ours", "ours", "first", "second"] * 2
    assert len(clock.ours) == len(clock.theirs["first"]) == len(clock.theirs["second"]) == 2
    assert min(clock.ours) >= 0.1
    assert min(clock.theirs["first"] + clock.theirs["second"]) >= 0.02


def _mark(path: Path) -> object:
    return lambda: path.write_text(path.read_text() + "x" if path.is_file() else "x")


def test_a_neighbour_does_it_once_a_call_in_another_process(tmp_path: Path) -> None:
    with Neighbour(_mark, tmp_path / "marks") as neighbour:
        neighbour()
        neighbour()
        assert (tmp_path / "marks").read_text() == "xx"
    neighbour._process.join(5)
    assert not neighbour._process.is_alive()


def test_a_neighbour_tells_what_it_found(tmp_path: Path) -> None:
    with Neighbour(_mark, tmp_path / "marks") as neighbour:
        assert [neighbour(), neighbour()] == [1, 2]  # characters written


def test_a_loss_is_reached_between_two_epochs() -> None:
    assert epochs_until([10, 6, 5], 8) == pytest.approx(1.5)
    assert epochs_until([10, 6, 5], 5) == pytest.approx(3)
    assert epochs_until([10, 6, 5], 12) == pytest.approx(1)
    with pytest.raises(ValueError, match="no epoch has a loss of 4 or less"):
        epochs_until([10, 6, 5], 4)


def test_a_line_is_found_and_its_misfit_told() -> None:
    assert line([1, 2, 3], [3, 5, 7]) == pytest.approx({"slope": 2, "intercept": 1, "r2": 1})
    assert line([0, 1, 2], [0, 1, 0])["r2"] == pytest.approx(0)


def test_the_loss_of_a_run_is_the_mean_of_its_last_five_validations(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,val/recon_loss\n" + "".join(f"{i},{i}\n" for i in range(1, 8)))
    assert validation_loss(tmp_path) == 5


@pytest.mark.parametrize(
    ("bar", "done"),
    [
        (b"epoch 1/200:   0%|          | 0/1600 [00:00<?, ?step/s]", False),
        (b"epoch 1/200:   0%|          | 1/1600 [00:41<18:20:41, 41.30s/step]", True),
        (b"epoch 1/200:   1%|1         | 16/1600 [00:41<18:20:41]", True),
        (b"reading volumes:  50%|#####     | 8/16 [00:00<00:00, 31.7vol/s]", False),
    ],
)
def test_the_first_step_is_seen_in_the_progress_bar(bar: bytes, done: bool) -> None:
    assert bool(FIRST_STEP.search(bar)) is done


def test_made_up_volumes_are_images_and_one_seed_makes_one(tmp_path: Path) -> None:
    first, again, other = (volume(16, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.std() > 0.05


def test_the_study_s_first_fold_trains_on_what_was_asked_for(tmp_path: Path) -> None:
    cohort = write_study(tmp_path / "study", 3, 2, 16)
    bundle = Bundle(cohort, tmp_path, channels=[4, 8], device="cpu")
    assert len(bundle["cohort_table"].training(1)) == 3
    assert len(bundle["cohort_table"].validation(1)) == 2
    assert tuple(bundle["train#dataset"].size) == (16, 16, 16)


def test_tables_are_written_between_their_marks_and_nowhere_else() -> None:
    timing = {"median_s": 1.0, "min_s": 0.5, "max_s": 2.0, "runs": 5}
    page = "before\n<!-- table: startup -->\nold\n<!-- end -->\nafter\n"
    text = filled(page, {"startup": {"times": {"plain": timing}}})
    row = "| plain, seconds | 1.000 [0.500, 2.000], 5 runs |"
    assert text == f"before\n<!-- table: startup -->\n| | |\n| --- | --- |\n{row}\n<!-- end -->\nafter\n"
    assert filled(text, {"startup": {"times": {"plain": timing}}}) == text
    with pytest.raises(InputError, match="no place for the table 'startup'"):
        filled("nothing here", {"startup": {"times": {}}})


def test_a_run_is_a_batch_size_a_learning_rate_and_an_optimizer() -> None:
    assert parsed("16:4e-3") == (16, 0.004, "Adam", ())
    assert parsed("16:1e-2:Muon") == (16, 0.01, "Muon", ())
    assert parsed("16") == (16, 0.04, "Muon", ("large_batch.json",))
    for wrong in ("", "16:", "0:1e-3", "x:1", "4:-1", "-4"):
        with pytest.raises(click.BadParameter, match="write a batch size, 16, or with a rate, 16:4e-3"):
            parsed(wrong)


def test_losses_are_listed_by_batch_optimizer_and_rate() -> None:
    rows = [
        {
            "channels": [8, 16], "batch_size": size, "learning_rate": 1e-3, "optimizer": "Adam", "overlays": overlays,
            "epochs": 2, "loss": loss, "cpu": f"one with {size}",
        }
        for size, overlays, loss in [(16, [], 0.2), (4, [], 0.1), (4, [], 0.3), (16, ["large_batch.json"], 0.4)]
    ]  # fmt: skip
    assert batch_size({"data": "study", "rows": rows})[1:] == [
        ("machines", "one with 16 and one with 4"),
        ("validation loss, channels 8-16, batch of 4, Adam at 0.001, 2 epochs", "0.20000 (0.10000, 0.30000)"),
        ("validation loss, channels 8-16, batch of 16, Adam at 0.001, 2 epochs", "0.20000 (one seed)"),
        (
            "validation loss, channels 8-16, batch of 16, Adam at 0.001, `large_batch.json`, 2 epochs",
            "0.40000 (one seed)",
        ),
    ]
