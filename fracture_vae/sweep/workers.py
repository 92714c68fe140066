"""Processes that train runs side by side, and what each of them may use of the machine."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import connection, forkserver, get_context
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, NamedTuple

import torch

from fracture_vae.sweep.worker import Job, Share, work

_GRACE = 60.0
"""Seconds a worker has to end once asked to; then it is killed."""
_PRELOADED = (
    "fracture_vae.jobs",
    "fracture_vae.networks",
    "fracture_vae.objectives",
    "torch.utils.tensorboard",
    "torch._dynamo",
    "matplotlib.backends.backend_agg",
)


class Machine(NamedTuple):
    """The processor's cores and the GPUs that this process may use, and the most threads one run may have."""

    cores: int
    gpus: tuple[str, ...]
    most_threads: int = 2**16

    def default_jobs(self, settings: Mapping[str, Any]) -> int:
        """Return how many runs go side by side by default: one a GPU where they use GPUs, else one a core."""
        device = settings.get("device")
        if device is None:
            return len(self.gpus) or self.cores
        return self.cores if str(device) == "cpu" else 1

    def shares(self, jobs: int, settings: Mapping[str, Any]) -> list[Share]:
        """Divide the machine among ``jobs`` runs; GPUs in turn, unless the runs are told which ``device`` to use.

        Threads times jobs is at most the number of cores, unless there are more jobs than cores.
        """
        threads = max(1, min(self.cores // jobs, self.most_threads))
        gpus = self.gpus if "device" not in settings else ()
        return [Share(threads, gpus[index % len(gpus)] if gpus else None) for index in range(jobs)]


def this_machine() -> Machine:
    """Return what this process may use; OMP_NUM_THREADS and CUDA_VISIBLE_DEVICES limit runs further."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    count = torch.cuda.device_count()
    gpus = visible.split(",")[:count] if visible else [str(index) for index in range(count)]
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return Machine(cores, tuple(gpus), int(threads) if threads.isdecimal() else cores)


class Ended(NamedTuple):
    """A worker that ended: the key it was started under, and why its run failed, if it did."""

    key: str
    failure: str | None


class Workers:
    """A process a run, at most ``len(shares)`` at a time; leaving the context stops those that are at work.

    A fresh process a run: its peak memory is its own, and nothing compiled for one network counts against the next.
    """

    def __init__(self, shares: Sequence[Share]) -> None:
        self._context = _context()
        self._free = list(shares)
        self._busy: dict[str, tuple[BaseProcess, connection.Connection, Share]] = {}

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _, _ in self._busy.values():
            process.terminate()
        for key in list(self._busy):
            self.stop(key)

    @property
    def free(self) -> bool:
        """Whether another run can start."""
        return bool(self._free)

    @property
    def busy(self) -> list[str]:
        """The keys of the runs at work."""
        return list(self._busy)

    def start(self, key: str, job: Job) -> None:
        """Train ``job`` with a free share of the machine."""
        share = self._free.pop()
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=work, args=(job, share, sender))  # type: ignore[attr-defined]
        process.start()
        sender.close()
        self._busy[key] = (process, receiver, share)

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """Return the runs that have ended, once one has, or after so many seconds."""
        processes = {process.sentinel: key for key, (process, _, _) in self._busy.items()}
        ended = [processes[sentinel] for sentinel in connection.wait(list(processes), seconds)]  # type: ignore[index]
        return [Ended(key, self._finish(key)) for key in ended]

    def stop(self, key: str) -> None:
        """End a run that is at work: politely, then not."""
        process, _, _ = self._busy[key]
        process.terminate()
        process.join(_GRACE)
        if process.is_alive():
            process.kill()
        self._finish(key)

    def _finish(self, key: str) -> str | None:
        process, receiver, share = self._busy.pop(key)
        process.join()
        self._free.append(share)
        try:
            failure = receiver.recv() if receiver.poll() else _death(process)
        except EOFError:
            failure = _death(process)
        receiver.close()
        return failure


def _death(process: BaseProcess) -> str:
    code = process.exitcode or 0
    how = f"signal {-code}" if code < 0 else f"status {code}"
    return f"its process died ({how}; out of memory?); the same command goes on, with fewer --jobs if need be"


def _context() -> BaseContext:
    """Return how processes start: forked from one that has imported what they need, where that is safe.

    It is not where CUDA may have been touched by an import, nor on macOS.
    """
    if sys.platform != "linux" or torch.cuda.is_available():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    with _no_interrupts():  # which the server inherits, and the workers from it: Ctrl-C is for this process
        forkserver.ensure_running()
    return context


@contextmanager
def _no_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only that one may choose
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
