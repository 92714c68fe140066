"""Which precision and whether to compile, and that a compiler's failure does not stop a training."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.objectives import VQTerms
from fracture_vae.training import Accelerated, choose, processor
from fracture_vae.training import acceleration as module


class Objective(nn.Module):
    """A linear map whose terms show in which precision it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv3d(1, 1, 1)
        self.seen: list[torch.dtype] = []

    def forward(self, batch: dict[str, Tensor]) -> VQTerms:
        out = self.map(batch["image"])
        self.seen.append(out.dtype)
        mean = out.mean()
        return VQTerms(mean, mean, mean, mean, mean)


def processor_is(monkeypatch: pytest.MonkeyPatch, native: bool, float32_speed: float = 0.5) -> None:
    """Have the CPU multiply bf16 natively or not, and convolve in float32 so many times as fast."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for where in (processor, module):
        monkeypatch.setattr(where, "float32_speed", lambda: float32_speed)


BATCH = {"image": torch.rand(1, 1, 4, 4, 4)}


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_forced_precision_is_what_the_network_runs_in_and_terms_are_float32(
    precision: str, dtype: torch.dtype
) -> None:
    objective = Objective()
    out = Accelerated(objective, choose("cpu", precision, False))(BATCH)
    assert objective.seen == [dtype]
    assert all(term.dtype == torch.float32 for term in out)
    assert isinstance(out, VQTerms)


def test_precision_follows_what_the_processor_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, precision in ((True, "bf16"), (False, "fp32")):
        processor_is(monkeypatch, native)
        assert choose("cpu", "auto", False).precision == precision


def test_a_processor_much_faster_in_float32_runs_in_it_and_the_line_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    processor_is(monkeypatch, True, float32_speed=1.8)
    why = "cpu (native bf16, fp32 1.8 times as fast)"
    assert str(choose("cpu", "auto", False)) == f"{why}, fp32, channels last, not compiled"
    assert str(choose("cpu", "bf16", False)) == f"{why}, bf16, channels last, not compiled"


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_precision_follows_a_gpu_s_compute_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(module, "usable", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    chosen = choose("cuda:0", "auto", False)
    assert chosen.precision == precision
    native = "native bf16" if precision == "bf16" else "no native bf16"
    device = f"a GPU, compute capability {capability[0]}.{capability[1]}, {native}"
    assert str(chosen) == f"cuda:0 ({device}), {precision}, channels last, not compiled"


def test_an_apple_gpu_runs_plain_float32_with_channels_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable", torch.device)
    monkeypatch.setattr(module, "can_compile", lambda _: True)
    assert str(choose("mps")) == "mps (no native bf16), fp32, channels first, not compiled"


@pytest.mark.parametrize(("switch", "compiled"), [(True, True), ("true", True), (False, False), ("false", False)])
def test_a_forced_compilation_switch_holds_whatever_the_voxels(switch: Any, compiled: bool) -> None:
    assert choose("cpu", "fp32", switch, voxels=1).compile is compiled
    assert choose("cpu", "fp32", switch, voxels=1e12).compile is compiled


def test_compilation_is_chosen_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "can_compile", lambda _: True)
    assert not choose("cpu", "fp32", "auto", voxels=1e6).compile
    assert choose("cpu", "fp32", "auto", voxels=1e9).compile


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not choose("cpu", "fp32", "auto").compile
    (tmp_path / "my-c++").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "my-c++").chmod(0o755)
    monkeypatch.setenv("CXX", "my-c++")
    assert choose("cpu", "fp32", "auto").compile


def test_a_compilation_that_fails_is_told_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(function: Any, **options: Any) -> Any:
        def fails(*args: Any) -> Any:
            raise RuntimeError("no compiler found\nand a long story")

        return fails

    monkeypatch.setattr(torch, "compile", broken)
    objective = Objective()
    accelerated = Accelerated(objective, choose("cpu", "fp32", True)).train()
    with caplog.at_level(logging.WARNING):
        first = accelerated(BATCH)
        second = accelerated(BATCH)
    assert len(objective.seen) == 2
    assert first.total.item() == second.total.item() == pytest.approx(objective(BATCH).total.item())
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["torch.compile failed, going on without: no compiler found"]


@pytest.mark.parametrize("chosen", [None, "mine"])
def test_compiled_code_is_kept_in_the_cache_folder_unless_another_is_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str | None
) -> None:
    from torch._inductor.runtime.cache_dir_utils import cache_dir, default_cache_dir

    monkeypatch.setenv("FRACTURE_VAE_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / chosen) if chosen else default_cache_dir())
    Accelerated(Objective(), choose("cpu", "fp32", True))
    assert Path(cache_dir()).parent == (tmp_path if chosen else tmp_path / "compiled")


BROKEN = """
import logging
import torch
from fracture_vae.networks import VQVAE, VQVAEConfig, build_quantizer
from fracture_vae.objectives import VQReconstruction
from fracture_vae.training import Accelerated, choose

logging.basicConfig(format="%(message)s")
network = VQVAE(VQVAEConfig(channels=(4,)), build_quantizer("vq", num_codes=8, dim=4))
accelerated = Accelerated(VQReconstruction(network), choose("cpu", "fp32", True)).train()
accelerated({"image": torch.rand(1, 1, 4, 4, 4)}).total.backward()
assert all(parameter.grad is not None for parameter in network.parameters())
"""


def test_a_compiler_that_does_not_compile_is_told_and_training_goes_on(tmp_path: Path) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\ncase $* in *--version*) exit 0;; esac\nexit 1\n", encoding="utf-8")
    compiler.chmod(0o755)
    environment = {**os.environ, "CXX": str(compiler), "FRACTURE_VAE_CACHE": str(tmp_path / "cache")}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", BROKEN], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "torch.compile failed, going on without" in done.stderr


def test_compiled_and_plain_agree_and_evaluation_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counting(function: Any, **options: Any) -> Any:
        assert options["fullgraph"]

        def run(*args: Any) -> Any:
            calls.append(1)
            return function(*args)

        return run

    monkeypatch.setattr(torch, "compile", counting)
    accelerated = Accelerated(Objective(), choose("cpu", "fp32", True)).train()
    trained = accelerated(BATCH).total
    assert len(calls) == 1
    assert accelerated.eval()(BATCH).total.item() == trained.item()
    assert len(calls) == 1


def test_weights_keep_their_values_and_owner() -> None:
    objective = Objective()
    weights = {name: value.clone() for name, value in objective.state_dict().items()}
    accelerated = Accelerated(objective, choose("cpu", "fp32", False))
    assert accelerated.module is objective
    assert all(torch.equal(value, weights[name]) for name, value in objective.state_dict().items())
    assert objective.map.weight.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(("switch", "last"), [("auto", True), ("channels_last", True), ("channels_first", False)])
def test_the_memory_format_is_what_was_chosen(switch: str, last: bool) -> None:
    acceleration = choose("cpu", "fp32", False, memory_format=switch)
    assert acceleration.channels_last is last
    arranged = acceleration.arrange(torch.rand(1, 2, 4, 4, 4))
    assert arranged.is_contiguous(memory_format=torch.channels_last_3d) is last


def test_the_line_that_is_logged_says_what_the_device_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    processor_is(monkeypatch, True)
    assert str(choose("cpu", "auto", True)) == "cpu (native bf16), bf16, channels last, compiled"
    processor_is(monkeypatch, False)
    expected = "cpu (no native bf16), fp32, channels first, not compiled"
    assert str(choose("cpu", "auto", False, memory_format="channels_first")) == expected


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("cpu", "fp16"), "precision 'fp16' is not one of auto, bf16, fp32"),
        (("cpu", "fp32", "maybe"), "compile 'maybe' is not one of auto, true, false"),
        (("cpu", "fp32", False, 1.0, "nhwc"), "memory_format 'nhwc' is not one of auto, channels_last, channels_first"),
        (("gpu",), "device 'gpu' cannot be used here"),
        (("cuda:97",), "device 'cuda:97' cannot be used here"),
    ],
)
def test_unknown_values_are_refused(arguments: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        choose(*arguments)
