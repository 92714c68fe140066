"""Several processes training one model."""

import os

import torch
import torch.distributed as dist

from fracture_vae.errors import InputError


def join_processes() -> torch.device:
    """Join the process group torchrun started, and return this process's device.

    One GPU a process with NCCL, or the CPU with gloo where there is no GPU.

    Raises:
        InputError: when the processes were not started by torchrun.
    """
    if "LOCAL_RANK" not in os.environ:
        raise InputError("multi_gpu_train.json needs one process a GPU: start it with torchrun --nproc_per_node=N")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


_left: list[dist.ProcessGroup | None] = []
"""Kept to the end: were DistributedDataParallel the last to hold a group, its destructor would, with the interpreter
locked, wait for a thread that waits for the interpreter."""


def leave_processes() -> None:
    """Leave the process group."""
    _left.append(dist.group.WORLD)
    dist.destroy_process_group()


def rank() -> int:
    """Return this process's number, 0 when it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def device_ids(device: torch.device) -> list[torch.device] | None:
    """Return what DistributedDataParallel wants for ``device``."""
    return [device] if device.type == "cuda" else None
