"""One run in a process of its own. Imports what is heavy only inside it, when its threads are decided."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing import connection, parent_process
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

LOG = "train.log"
"""In a run folder: what the process said."""
_PATIENCE = 60
"""Seconds a run has to leave whole files after its parent died."""


class Job(NamedTuple):
    """A run to train: the bundle's configs in merging order, the overrides, and the run folder."""

    configs: tuple[Path, ...]
    overrides: Mapping[str, Any]
    folder: Path


class Share(NamedTuple):
    """What one of several runs side by side may use: so many threads and, where GPUs are dealt out, one of them."""

    threads: int
    gpu: str | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment variables that keep a process to it."""
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        threads = dict.fromkeys(names, str(self.threads))
        return threads if self.gpu is None else {**threads, "CUDA_VISIBLE_DEVICES": self.gpu}


def work(job: Job, share: Share, answer: connection.Connection) -> None:
    """Train ``job`` within its ``share`` of the machine, and send None, or in one line why it failed.

    Ctrl-C is the parent's to handle: it ends a worker with SIGTERM, which here is a KeyboardInterrupt, so that every
    file being written is either whole or removed. A worker ends itself so when its parent dies.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        os.environ.update(share.environment())
        with (job.folder / LOG).open("ab", buffering=0) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        answer.send(_train(job, share.threads))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(1)


def _train(job: Job, threads: int) -> str | None:
    import torch
    from torch._inductor import config as inductor

    from fracture_vae import bundle
    from fracture_vae.errors import known_cause

    torch.set_num_threads(threads)
    inductor.compile_threads = threads
    try:
        bundle.run(job.configs, "training", job.overrides)
    except Exception as error:
        known = known_cause(error)
        if known is not None:
            print(f"Error: {known}", file=sys.stderr)
            return str(known)
        traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        return f"unexpected {type(error).__name__}: {first[:200]} (its traceback is in {job.folder / LOG})"
    return None


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_PATIENCE)
    os._exit(1)
