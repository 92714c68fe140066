"""Threads never hold more than they may, and say what went wrong."""

import signal
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.maps.threads import BoundedThreads


@given(sizes=st.lists(st.integers(0, 6), max_size=25), capacity=st.integers(1, 8), threads=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_unfinished_work_stays_within_its_capacity(sizes: list[int], capacity: int, threads: int) -> None:
    lock, held, seen, done = threading.Lock(), [], [], []

    def task(size: int) -> None:
        with lock:
            done.append(size)
            held.remove(size)

    pool = BoundedThreads(threads, capacity, when_idle=lambda: None)
    for size in sizes:
        with lock:
            held.append(size)  # a little early: it counts from when submit takes it
        pool.submit(size, task, size)
        with lock:
            seen.append((sum(held), len(held)))
    pool.drain()
    assert sorted(done) == sorted(sizes)
    assert all(total <= capacity or count == 1 for total, count in seen)


def test_handing_over_waits_for_room() -> None:
    release, entered = threading.Event(), threading.Event()
    pool = BoundedThreads(2, 10, when_idle=lambda: None)
    pool.submit(7, release.wait, 10)
    late = threading.Thread(target=lambda: (pool.submit(4, lambda: None), entered.set()))
    late.start()
    assert not entered.wait(0.05), "7 + 4 > 10"
    release.set()
    assert entered.wait(10)
    late.join()
    pool.drain()


def test_a_task_s_error_is_raised_and_the_last_one_leaves_all_in_order() -> None:
    idle = threading.Event()

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    pool = BoundedThreads(2, 1, when_idle=idle.set)
    pool.submit(1, fail)
    assert idle.wait(10)
    with pytest.raises(ZeroDivisionError):
        pool.submit(1, lambda: None)
    with pytest.raises(ZeroDivisionError):
        pool.drain()


def test_ctrl_c_does_not_keep_what_was_handed_over_from_being_done() -> None:
    done: list[int] = []
    idle = []
    pool = BoundedThreads(2, 10, when_idle=lambda: idle.append(len(done)))

    def task(number: int) -> None:
        time.sleep(0.3)
        done.append(number)

    for number in range(4):
        pool.submit(1, task, number)
    heeded = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin deaf to it
    try:
        for seconds in (0.1, 0.2):
            threading.Timer(seconds, signal.raise_signal, (signal.SIGINT,)).start()
        with pytest.raises(KeyboardInterrupt):
            pool.drain()
    finally:
        signal.signal(signal.SIGINT, heeded)
    assert sorted(done) == [0, 1, 2, 3]
    assert idle[-1] == 4
