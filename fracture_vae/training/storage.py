"""Where a fold's volumes are held: on the training device, in memory, or in a file the system pages in."""

import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from fracture_vae.cohort.synthetic import cache_folder
from fracture_vae.errors import InputError, nearest

logger = logging.getLogger(__name__)

STORAGES = ("auto", "device", "memory", "file")
DTYPE = torch.float16
"""Keeps [0, 1] to 2.4e-4 at worst, half a Hounsfield unit of a 1900 HU window, at half the memory."""
_SHARE_OF_DEVICE = 0.3  # the network, its activations and a second data set need the rest
_SHARE_OF_MEMORY = 0.5
_GB = 1e9


def hold(shape: Sequence[int], storage: str, device: torch.device) -> Tensor:
    """Return zeros of ``shape`` in :data:`DTYPE`, for volumes to be written to.

    Args:
        shape: (N, 1, H, W, D).
        storage: ``device`` is ``device``'s own memory; ``memory`` the computer's; ``file`` a file in the cache
            folder, of which the system keeps in memory what there is room for, and which is gone when the process
            is; ``auto`` the first of these that has room.
        device: where training runs.

    Raises:
        InputError: for another storage, or a file that does not fit on the disk.
    """
    if storage not in STORAGES:
        raise InputError(f"storage '{storage}' is not one of {', '.join(STORAGES)}{nearest(storage, STORAGES)}")
    needed = prod(shape) * DTYPE.itemsize
    chosen = _first_with_room(needed, device) if storage == "auto" else storage
    where = {"device": f"on {device}", "memory": "in memory", "file": f"in a file in {cache_folder()}"}
    logger.info("holding %d volumes, %.2f GB, %s", shape[0], needed / _GB, where[chosen])
    if chosen == "file":
        return _in_file(shape, needed)
    return torch.zeros(tuple(shape), dtype=DTYPE, device=device if chosen == "device" else "cpu")


def _first_with_room(needed: int, device: torch.device) -> str:
    if device.type == "cuda" and needed <= _SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "memory" if needed <= _SHARE_OF_MEMORY * available_memory() else "file"


def available_memory() -> int:
    """Return how many bytes this process may still take: what is free, within its control group's limit."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    values = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    limits = [int(values["MemAvailable"].split()[0]) * 1024]
    with suppress(OSError, ValueError):  # no control group of the second version, or no limit ("max")
        group = Path("/proc/self/cgroup").read_text(encoding="utf-8").partition("0::/")[2].splitlines()[0]
        folder = Path("/sys/fs/cgroup") / group
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        limits.append(int((folder / "memory.max").read_text(encoding="ascii")) - used)
    return min(limits)


def _in_file(shape: Sequence[int], needed: int) -> Tensor:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix="volumes-", dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, needed)  # a full disk found later would kill the process
        except OSError as error:
            raise InputError(
                f"{folder}: no room for {needed / _GB:.1f} GB of volumes ({error.strerror}); set FRACTURE_VAE_CACHE "
                "to a folder on a larger disk"
            ) from error
        return torch.from_file(file.name, shared=True, size=prod(shape), dtype=DTYPE).view(tuple(shape))
    # the name is gone now, the file with the last tensor that uses it
