"""Whether bfloat16 or float32 is the faster on a CPU: what is measured, remembered and made of it."""

import json
from pathlib import Path

import pytest
import torch

from fracture_vae.training import processor

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, for a process that has measured nothing."""
    monkeypatch.setenv("FRACTURE_VAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(processor, "float32_speed", processor.float32_speed.__wrapped__)
    return tmp_path / "cache" / "precision"


def takes(monkeypatch: pytest.MonkeyPatch, bf16: float, fp32: float) -> None:
    monkeypatch.setattr(processor, "_seconds", lambda dtype: bf16 if dtype == torch.bfloat16 else fp32)


def test_what_is_measured_is_remembered(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    takes(monkeypatch, 0.03, 0.02)
    assert processor.float32_speed() == 1.5
    takes(monkeypatch, 0.01, 0.02)
    assert processor.float32_speed() == 1.5
    (file,) = cache.iterdir()
    assert json.loads(file.read_text()) == {"float32_speed": 1.5}


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"float32_speed": null}'])
def test_a_memory_that_cannot_be_read_is_measured_anew(cache: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    takes(monkeypatch, 0.03, 0.02)
    processor.float32_speed()
    (file,) = cache.iterdir()
    file.write_text(text)
    takes(monkeypatch, 0.01, 0.02)
    assert processor.float32_speed() == 0.5
    assert json.loads(file.read_text()) == {"float32_speed": 0.5}


def test_a_folder_that_cannot_be_written_stops_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.parent.write_text("a file where the folder would be")
    takes(monkeypatch, 0.01, 0.02)
    assert processor.float32_speed() == 0.5


@pytest.mark.parametrize(("native", "speed", "gains"), [(True, 1.49, True), (True, 1.5, False), (False, 0.5, False)])
def test_bf16_is_for_processors_that_have_it_and_are_not_much_slower_by_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, speed: float, gains: bool
) -> None:
    monkeypatch.setattr(processor, "multiplies_bf16", lambda _: native)
    monkeypatch.setattr(processor, "float32_speed", lambda: speed)
    assert processor.gains_by_bf16(CPU) is gains


def test_float32_is_timed_on_a_convolution_and_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    convolve = torch.conv3d

    def watched(image: torch.Tensor, weight: torch.Tensor, **how: int) -> torch.Tensor:
        seen.append((image, weight))
        return convolve(image, weight, **how)

    monkeypatch.setattr(torch, "conv3d", watched)
    with torch.no_grad():  # whoever asks may be about to infer
        assert 0 < processor._seconds(torch.float32) < 60
    image, weight = seen[-1]
    assert image.dtype == weight.dtype == torch.float32
    assert image.grad is not None
    assert weight.grad is not None
