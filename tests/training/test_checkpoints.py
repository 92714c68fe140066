"""Checkpoints: the three lowest are kept, nothing but tensors and primitives is in them, bad files are told."""

import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ignite.engine import Engine, Events
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.training.about import About
from fracture_vae.training.checkpoints import Checkpoints, best_checkpoint, load, save
from fracture_vae.training.session import load_checkpoint


def validated(folder: Path, values: list[float], keep: int = 3) -> Checkpoints:
    """Train as many epochs as there are values, each validation giving one."""
    trainer, evaluator = Engine(lambda *_: None), Engine(lambda *_: None)
    checkpoints = Checkpoints(folder, nn.Linear(1, 1), About(), evaluator, {}, keep)

    def validate(engine: Engine) -> None:
        with torch.no_grad():
            checkpoints.network.weight.fill_(engine.state.epoch)
        evaluator.state.metrics = {"recon_loss": values[engine.state.epoch - 1]}
        evaluator.state.key_metric_name = "recon_loss"
        evaluator.fire_event(Events.COMPLETED)

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    checkpoints.attach(trainer)
    trainer.run([0], max_epochs=len(values))
    return checkpoints


def test_the_three_lowest_are_kept_best_first(tmp_path: Path) -> None:
    validated(tmp_path, [0.5, 0.2, 0.4, 0.3, 0.6, 0.1, 0.7])
    best = json.loads((tmp_path / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    assert [(entry["epoch"], entry["value"]) for entry in best] == [(6, 0.1), (2, 0.2), (4, 0.3)]
    files = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert files == {"best.json", "last.pt", "epoch_0006.pt", "epoch_0002.pt", "epoch_0004.pt"}
    assert best_checkpoint(tmp_path).name == "epoch_0006.pt"
    assert load(best_checkpoint(tmp_path))["network"]["weight"].item() == 6, "the weights of that epoch"
    assert load(tmp_path / "checkpoints" / "last.pt")["network"]["weight"].item() == 7


def test_of_equal_models_the_earlier_one_is_better(tmp_path: Path) -> None:
    assert [entry["epoch"] for entry in validated(tmp_path, [0.2, 0.2, 0.2], keep=2).best] == [1, 2]


def test_a_validation_that_is_not_a_number_is_never_the_best(tmp_path: Path) -> None:
    assert [entry["epoch"] for entry in validated(tmp_path, [math.nan, 0.5, math.nan, 0.4], keep=2).best] == [4, 2]


def test_without_a_best_the_last_serves_and_without_both_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoints/best.json or checkpoints/last.pt"):
        best_checkpoint(tmp_path)
    save(tmp_path / "checkpoints" / "last.pt", {"a": 1})
    assert best_checkpoint(tmp_path).name == "last.pt"


def plain(value: Any) -> bool:
    """Whether a value consists of tensors and primitives."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and plain(v) for key, v in value.items())
    if isinstance(value, list | tuple):
        return all(plain(v) for v in value)
    return value is None or type(value) in (int, float, str, bool) or type(value) is Tensor


def test_a_run_s_checkpoints_hold_tensors_and_primitives_only(tiny_run: Path) -> None:
    for path in (tiny_run / "checkpoints").glob("*.pt"):
        content = torch.load(path, weights_only=True)
        assert plain(content), path
    about = json.loads(torch.load(tiny_run / "checkpoints" / "last.pt", weights_only=True)["about"])
    assert about["network"]["name"] == "vqvae"
    assert about["preprocessing"]["intensity"] == "none"
    assert (about["bundle"], about["fold"], about["epoch"]) == ("vq3d", 1, 2)


def test_saving_replaces_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.pt", {"x": 1})

    def breaks(content: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", breaks)
    with pytest.raises(InputError, match=r"a\.pt: cannot be written \(No space left on device\)"):
        save(tmp_path / "a.pt", {"x": 2})
    assert load(tmp_path / "a.pt") == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


class Custom:
    """Something only unsafe loading brings back."""


def test_what_cannot_be_loaded_is_told_with_the_file(tmp_path: Path) -> None:
    torch.save({"network": Custom()}, tmp_path / "unsafe.pt")
    torch.save({"network": {"w": torch.zeros(1000)}}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:2000])
    (tmp_path / "text.pt").write_text("no checkpoint", encoding="utf-8")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    for name, complaint in {
        "unsafe": "needs unsafe loading",
        "cut": "damaged",
        "text": "no checkpoint",
        "empty": "damaged",
        "tensor": "holds a Tensor, not a checkpoint",
        "missing": "no such checkpoint",
    }.items():
        with pytest.raises(InputError, match=rf"{name}\.pt: .*{complaint}"):
            load(tmp_path / f"{name}.pt")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), keep=st.integers(0, 400))
def test_any_damage_is_an_input_error(tmp_path: Path, content: bytes, keep: int) -> None:
    torch.save({"network": {"w": torch.zeros(3)}}, tmp_path / "whole.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:keep] + content)
    with pytest.raises(InputError, match=r"a\.pt"):
        load(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"network": {"weight": torch.zeros(1, 1)}}, "another architecture.*bias is missing"),
        ({"network": {"weight": torch.zeros(2, 1), "bias": torch.zeros(1)}}, r"shape \(2, 1\), not \(1, 1\)"),
        ({"state_dict": {"weight": torch.zeros(1, 1)}, "epoch": 3}, "holds no state dict"),
        ({"network": 3}, "holds no state dict"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, content: dict[str, Any], complaint: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(InputError, match=complaint):
        load_checkpoint(nn.Linear(1, 1), tmp_path / "a.pt")


def test_a_plain_state_dict_loads(tmp_path: Path) -> None:
    torch.save({"weight": torch.full((1, 1), 5.0), "bias": torch.zeros(1)}, tmp_path / "a.pt")
    network = nn.Linear(1, 1)
    load_checkpoint(network, tmp_path / "a.pt")
    assert network.weight.item() == 5


def test_resuming_what_is_no_run_of_this_package_is_told(
    tiny_run: Path, train: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "run" / "checkpoints" / "last.pt", {"network": {}})
    with pytest.raises(InputError, match=r"last\.pt: nothing to go on from, it has no 'about'"):
        train(tmp_path / "new", resume=str(tmp_path / "run"), max_epochs=3)
