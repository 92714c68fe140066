"""Whether a device multiplies bfloat16, and whether that is the faster way there."""

import hashlib
import platform
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from fracture_vae.cohort.synthetic import cache_folder
from fracture_vae.files import read_json, write_text

WORTH_TWICE_THE_MEMORY = 1.5
"""How many times as fast float32 has to be before it is chosen where bfloat16 is native."""
_CHANNELS, _SIZE, _KERNEL = (32, 64), 32, 4
_ROUNDS = 5


def instructions() -> str:
    """Return a name for this processor's instructions: what is compiled or measured here may not hold elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    says = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.machine()}-{hashlib.sha256(says.encode()).hexdigest()[:8]}"


def multiplies_bf16(device: torch.device) -> bool:
    """Return whether ``device`` has instructions for bfloat16 (AVX-512 BF16, AMX, compute capability 8.0)."""
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def gains_by_bf16(device: torch.device) -> bool:
    """Return whether networks should run in bfloat16 on ``device``.

    On a CPU that has the instructions it is measured (:func:`float32_speed`): some have them at half the rate.
    """
    return multiplies_bf16(device) and (device.type != "cpu" or float32_speed() < WORTH_TWICE_THE_MEMORY)


@cache
def float32_speed() -> float:
    """Return how many times as fast as in bfloat16 this CPU convolves in float32.

    Measured once on a processor and remembered in the cache folder: all trainings there, and those that go on, decide
    alike.
    """
    file = cache_folder() / "precision" / f"{instructions()}-{torch.__version__}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return float(read_json(file)["float32_speed"])
    bf16, fp32 = _seconds(torch.bfloat16), _seconds(torch.float32)
    speed = round(bf16 / fp32, 2)
    with suppress(OSError):  # a folder that cannot be written only costs the next process the measurement
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, f'{{"float32_speed": {speed}}}\n')
    return speed


def _seconds(dtype: torch.dtype) -> float:
    """Return the least time a strided convolution of the 3D network's kind takes, forward and backward."""
    channels, features = _CHANNELS
    image = torch.ones(1, channels, *[_SIZE] * 3, dtype=dtype)
    weight = torch.ones(features, channels, *[_KERNEL] * 3, dtype=dtype)
    operands = [tensor.contiguous(memory_format=torch.channels_last_3d).requires_grad_() for tensor in (image, weight)]
    return min(_once(*operands) for _ in range(_ROUNDS))


def _once(image: Tensor, weight: Tensor) -> float:
    began = time.perf_counter()
    with torch.enable_grad():
        out = torch.conv3d(image, weight, stride=2, padding=1)
        out.backward(torch.ones_like(out))
    return time.perf_counter() - began
