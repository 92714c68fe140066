"""Work handed to threads, of which only so much may be unfinished."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import torch


class BoundedThreads:
    """Runs tasks in threads; handing one over waits while the unfinished ones are too large.

    Each thread computes on one core, for the tasks themselves run side by side.

    Args:
        threads: how many tasks run at once.
        capacity: the unfinished tasks' sizes sum to at most this, or there is only one.
        when_idle: called when the last unfinished task is done, in its thread, and when all are.
    """

    def __init__(self, threads: int, capacity: int, when_idle: Callable[[], None]) -> None:
        self.capacity = capacity
        self.when_idle = when_idle
        self._pool = ThreadPoolExecutor(threads, "writer", initializer=torch.set_num_threads, initargs=(1,))
        self._changed = threading.Condition()
        self._unfinished = 0
        self._tasks = 0
        self._futures: list[Future[None]] = []
        self._failure: Exception | None = None

    def submit(self, size: int, task: Callable[..., object], *arguments: Any) -> None:
        """Run ``task(*arguments)`` as soon as there is room for its ``size``.

        Raises:
            Exception: what an earlier task raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._tasks or self._unfinished + size <= self.capacity)
            self._raise()
            self._unfinished += size
            self._tasks += 1
        at_work = [future for future in self._futures if not future.done()]
        self._futures = [*at_work, self._pool.submit(self._run, size, task, arguments)]

    def drain(self) -> None:
        """Wait until every task is done, and end the threads; where Ctrl-C comes, no less.

        Raises:
            Exception: what a task raised.
            KeyboardInterrupt: when it came meanwhile.
        """
        interrupt: KeyboardInterrupt | None = None
        while any(not future.done() for future in self._futures):
            try:
                wait(self._futures)
            except KeyboardInterrupt as error:  # to join the threads now would not wait again for one it broke off
                interrupt = error
        self._pool.shutdown()
        self.when_idle()
        if interrupt is not None:
            raise interrupt
        torch.set_num_threads(torch.get_num_threads())  # what one thread sets counts for threads that start later
        self._raise()

    def _run(self, size: int, task: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            task(*arguments)
        except Exception as error:
            self._failure = self._failure or error
        finally:
            with self._changed:
                self._unfinished -= size
                self._tasks -= 1
                idle = not self._tasks
                self._changed.notify_all()
            if idle:
                self.when_idle()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure
