"""One decision on precision, memory format and compilation, by what the device does well."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fracture_vae.cohort.synthetic import cache_folder
from fracture_vae.errors import InputError, nearest
from fracture_vae.training.allocator import keep_freed_memory
from fracture_vae.training.processor import float32_speed, gains_by_bf16, instructions, multiplies_bf16
from fracture_vae.training.thin import exact_where_thin

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "bf16", "fp32")
MEMORY_FORMATS = ("auto", "channels_last", "channels_first")
COMPILE_PAYS_AFTER = 100e6
"""Voxels to train on from which ``auto`` compiles; fewer would not repay the time compilation takes."""
_CODE_CACHE = "TORCHINDUCTOR_CACHE_DIR"


@dataclass(frozen=True)
class Acceleration:
    """How a network runs: on which device, in which precision and memory format, compiled or not."""

    device: torch.device
    precision: str  # bf16 | fp32
    channels_last: bool
    compile: bool

    def __str__(self) -> str:
        return (
            f"{self.device} ({capability(self.device)}), {self.precision}, channels "
            f"{'last' if self.channels_last else 'first'}, {'compiled' if self.compile else 'not compiled'}"
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context a forward pass runs in."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def arrange(self, tensor: Tensor) -> Tensor:
        """Return ``tensor`` (B, C, H, W[, D]) in the memory format chosen; vectors have but one."""
        images = self.channels_last and tensor.dim() in (4, 5)
        return tensor.contiguous(memory_format=_format(tensor.dim())) if images else tensor


def best_device() -> torch.device:
    """Return CUDA where there is one, else the CPU; other devices (mps) are used when asked for."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose(
    device: str | torch.device,
    precision: str = "auto",
    compile: str | bool = "auto",
    voxels: float = float("inf"),
    memory_format: str = "auto",
) -> Acceleration:
    """Decide how to run on ``device``; each switch is ``auto`` or forced.

    Args:
        device: a torch device (see :func:`best_device`).
        precision: ``bf16`` where the hardware multiplies it natively (AVX-512 BF16 or AMX on a CPU, compute
            capability 8.0 on CUDA) and, on a CPU, was not measured to be much slower by it; else ``fp32``; or one of
            them by name.
        compile: ``auto`` compiles where there is a C++ compiler and ``voxels`` make it pay; True or False force it.
        voxels: how many voxels will go through the network.
        memory_format: ``auto`` is ``channels_last`` on CPU and CUDA and ``channels_first`` elsewhere; or one of them.

    Raises:
        InputError: for an unknown value of a switch, or a device this machine lacks.
    """
    for name, value, known in (
        ("precision", precision, PRECISIONS),
        ("memory_format", memory_format, MEMORY_FORMATS),
    ):
        if value not in known:
            raise InputError(f"{name} '{value}' is not one of {', '.join(known)}{nearest(value, known)}")
    switches = {"auto": None, "true": True, "false": False}
    if str(compile).lower() not in switches:
        raise InputError(f"compile '{compile}' is not one of auto, true, false")
    compiled = switches[str(compile).lower()]
    chosen = usable(device)
    if precision == "auto":
        precision = "bf16" if gains_by_bf16(chosen) else "fp32"
    if compiled is None:
        compiled = voxels >= COMPILE_PAYS_AFTER and chosen.type != "mps" and can_compile(chosen)
    channels_last = chosen.type in ("cpu", "cuda") if memory_format == "auto" else memory_format == "channels_last"
    return Acceleration(chosen, precision, channels_last, compiled)


def capability(device: torch.device) -> str:
    """Return in a few words what ``device`` is and whether it multiplies bf16 natively, and gains by it."""
    native = "native bf16" if multiplies_bf16(device) else "no native bf16"
    if multiplies_bf16(device) and not gains_by_bf16(device):
        native += f", fp32 {float32_speed():.1f} times as fast"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}, {native}"
    return native


def can_compile(device: torch.device) -> bool:
    """Return whether ``torch.compile`` has what it needs: a C++ compiler on a CPU, Triton on a GPU."""
    if device.type == "cuda":
        return torch.utils._triton.has_triton()
    return any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++", "c++") if name)


class Accelerated(nn.Module):
    """An objective driven as :class:`Acceleration` says; terms come back in float32.

    In training its forward is compiled; if compilation fails it goes on uncompiled, with a warning. The module
    wrapped stays the owner of the weights (``module``), so that checkpoints know nothing of acceleration.
    """

    def __init__(self, module: nn.Module, acceleration: Acceleration) -> None:
        super().__init__()
        _prepare_process(acceleration)
        self.module = module.to(acceleration.device)
        if acceleration.device.type == "cpu":
            exact_where_thin(self.module)
        if acceleration.channels_last:
            for parameter in self.module.parameters():
                if parameter.dim() in (4, 5):
                    parameter.data = parameter.data.contiguous(memory_format=_format(parameter.dim()))
        self.acceleration = acceleration
        self._compiled: Callable[..., Any] | None = None
        if acceleration.compile:
            self._compiled = torch.compile(self._run, fullgraph=True, options=_compiler_options(acceleration))
        self._proven = False

    def forward(self, batch: dict[str, Tensor] | Tensor) -> Any:
        """Return the wrapped module's output for (B, C, *spatial) images, alone or in a batch's dictionary."""
        arrange = self.acceleration.arrange
        arranged = (
            arrange(batch) if isinstance(batch, Tensor) else {key: arrange(value) for key, value in batch.items()}
        )
        if self._compiled is None or not self.training:
            return self._run(arranged)
        if self._proven:
            return self._compiled(arranged)
        return self._first_compiled(arranged)

    def _first_compiled(self, batch: Any) -> Any:
        logger.info("compiling the training step; the first one takes a while")
        began = time.monotonic()
        try:
            out = self._compiled(batch)  # type: ignore[misc]
        except (torch._dynamo.exc.TorchDynamoException, RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()
            logger.warning("torch.compile failed, going on without: %s", reason[0] if reason else repr(error))
            self._compiled = None
            return self._run(batch)
        logger.info("compiled in %.0f s", time.monotonic() - began)
        self._proven = True
        return out

    def _run(self, batch: Any) -> Any:
        with self.acceleration.autocast():
            out = self.module(batch)
        if isinstance(out, Tensor):
            return out.float()
        return type(out)(*(value.float() for value in out))


def _prepare_process(acceleration: Acceleration) -> None:
    """Set what holds for the whole process."""
    if acceleration.device.type == "cpu":
        keep_freed_memory()
    if acceleration.device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # every training batch has the same shape
    if acceleration.compile:
        _keep_compiled_code()
        if acceleration.device.type == "cpu":
            _try_instructions()


def _keep_compiled_code() -> None:
    """Let compiled code outlive the temporary folder, unless somebody has chosen another place for it."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # takes a second; plain runs do without

    if os.environ.get(_CODE_CACHE, default_cache_dir()) == default_cache_dir():
        os.environ[_CODE_CACHE] = str(cache_folder() / "compiled" / instructions())


def _compiler_options(acceleration: Acceleration) -> dict[str, str | int | bool | Callable[..., Any]]:
    """Return what differs from the compiler's defaults.

    On a CPU a buffer is freed once it was read last: to reuse one it may be held through a whole backward pass, and
    the C library keeps what is freed anyway.
    """
    return {"allow_buffer_reuse": False} if acceleration.device.type == "cpu" else {}


def _try_instructions() -> None:
    """Have a thread find out which vector instructions the C++ compiler offers, for which ``torch.compile`` would wait.

    It compiles and runs a small program for each kind, seven seconds in all where nothing is cached, and remembers.
    """
    with suppress(ImportError):  # imported here: two threads that import the same packages may see half of one
        from torch._inductor import cpp_builder, cpu_vec_isa  # noqa: F401

        def find_out() -> None:
            with suppress(Exception):  # whatever is wrong with the compiler, torch.compile itself meets and tells
                cpu_vec_isa.valid_vec_isa_list()

        threading.Thread(target=find_out, name="instructions", daemon=True).start()


def usable(device: str | torch.device) -> torch.device:
    """Return ``device``, tried.

    Raises:
        InputError: when this machine has none.
    """
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device '{device}' cannot be used here; set device to cpu, or leave it out") from error
    return chosen


def _format(dims: int) -> torch.memory_format:
    return torch.channels_last_3d if dims == 5 else torch.channels_last
