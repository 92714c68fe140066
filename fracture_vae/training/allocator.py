"""Keep freed memory in the process: on a CPU a training step asks for the same large blocks again and again."""

import ctypes
import platform
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's mallopt(3)
_NEVER = -1
LARGEST_KEPT = 2**26
"""Bytes; larger blocks go straight to the system and back: kept, they would leave holes that nothing else fits."""


@cache
def keep_freed_memory() -> bool:
    """Let glibc reuse freed blocks of up to :data:`LARGEST_KEPT`, once a process; return whether it will.

    By default it gives every block above 32 MB back to the system, which clears each of its pages again at the next
    allocation: a seventh of a compiled bf16 step's time. All threads share what is kept, else what one of them frees
    lies idle. Other C libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value)
        for option, value in ((_MMAP_THRESHOLD, LARGEST_KEPT), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1))
    )


def return_freed_memory() -> None:
    """Give back what is kept, where something large was done that will not be done again."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
