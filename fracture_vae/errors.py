"""What a user meets when something is wrong with what they gave."""

import difflib
import re
from collections.abc import Iterable, Mapping

_MEMORY = (
    "not enough memory: give less at a time; to train, lower batch_size or the network's latent, hidden or channels"
)
LONGEST = 1000
"""Characters of the longest message."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class InputError(ValueError):
    """Something the user gave is wrong.

    The message is one line that says what is wrong, where (file, row or key) and what to do about it; line breaks
    and control characters in what it quotes are shown as escapes, and what is too long to read is cut in its middle.
    The command line prints it without a traceback and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_shortened(_UNPRINTABLE.sub(_escaped, message)))


class PartialFailure(Exception):
    """Some cases failed and the others were written; the command line lists them and exits with status 1.

    Args:
        failed: what failed, to why.
        written: how many were written.
    """

    def __init__(self, failed: Mapping[str, str], written: int) -> None:
        self.failed = dict(failed)
        self.written = written
        told = [
            _UNPRINTABLE.sub(_escaped, reason if reason.startswith(f"{case}:") else f"{case}: {reason}")
            for case, reason in failed.items()
        ]
        if len(told) == 1:
            super().__init__(f"{told[0]}; {written} other case(s) written" if written else told[0])
        else:
            super().__init__("\n  ".join([f"{len(told)} cases failed, {written} written:", *told]))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name closest to ``name``, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def known_cause(error: BaseException | None) -> InputError | PartialFailure | None:
    """Return the user's error at the root of ``error`` (MONAI wraps what its configs raise), if that is what it is.

    Memory that did not suffice is one: what was asked for is too large.
    """
    while error is not None:
        if isinstance(error, InputError | PartialFailure):
            return error
        if _out_of_memory(error):
            return InputError(_MEMORY)
        error = error.__cause__ or error.__context__
    return None


def _out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation of Python, NumPy or PyTorch failed; PyTorch's on a CPU is a plain RuntimeError."""
    failed_on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or failed_on_cpu


def exit_status(error: InputError | PartialFailure) -> int:
    """Return the process's exit status for ``error``: 2 for bad input, 1 where some cases of many failed."""
    return 2 if isinstance(error, InputError) or not error.written else 1


def _escaped(match: "re.Match[str]") -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def _shortened(message: str) -> str:
    half = LONGEST // 2
    return message if len(message) <= LONGEST else f"{message[:half]} … {message[-half:]}"
