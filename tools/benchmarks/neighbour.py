"""Something in a process of its own, so that it is timed as its users run it, untouched by what this process sets."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType


class Neighbour:
    """Calls ``make(*arguments)()`` in another process, once for each call of this object, and returns what it returns.

    ``make`` is a function of a module's top level; arguments and what is returned can be pickled. Use it as a context
    manager.
    """

    def __init__(self, make: Callable[..., Callable[[], object]], *arguments: object) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it is ready

    def __call__(self) -> object:
        """Have it called once."""
        self._pipe.send(True)
        return self._pipe.recv()

    def __enter__(self) -> "Neighbour":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, make: Callable[..., Callable[[], object]], arguments: tuple[object, ...]) -> None:
    call = make(*arguments)
    pipe.send(True)
    while pipe.recv():
        pipe.send(call())
