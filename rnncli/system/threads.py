"""Threads: the number that the BLAS uses, and elementwise work on several threads.

The BLAS runs matrix products on several threads. `share` does so for elementwise work on large arrays: NumPy releases
the GIL while it computes. This module imports no NumPy, so that `prepare` can run before NumPy is imported.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

from rnncli.errors import ConfigError
from rnncli.system import control_groups, process

if TYPE_CHECKING:
    from concurrent.futures import Future
    from queue import SimpleQueue

Item = TypeVar("Item")
Call = tuple["Future[None]", Callable[[], None]]

# Numbers; elementwise work on fewer is done before a second thread has started.
SHARED = 1 << 18

# Environment variables that a BLAS reads when NumPy is imported.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

# Bytes that NumPy and the rest of a command map, and those of each further thread: two stacks, a heap of the C
# library, and the work space of OpenBLAS.
MAPPED, MAPPED_BY_A_THREAD = 140_000_000, 120_000_000


def prepare(threads: int | None = None) -> None:
    """Set the environment variables that a BLAS reads when NumPy is imported.

    threads: None for the number in the environment, or one per core. Lowered where this process cannot map as much
    memory or start as many: the BLAS would end it. Raises ConfigError if there is no room for one.

    If NumPy is already imported, this affects `each` only; `blas.set_threads` sets the threads of the BLAS.
    """
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if "numpy" in sys.modules:
        return
    # By default an idle OpenBLAS thread spins for 2^26 cycles, on the core that `each` needs.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
    # The BLAS knows which cores are allowed, but no share of them.
    if (possible := _possible()) < (_in_environment() or _allowed()):
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(possible)))


def count() -> int:
    """The number of threads: from the environment, otherwise one per core that this process may use."""
    return _in_environment() or _cores()


def _in_environment() -> int | None:
    for variable in THREAD_VARIABLES[:2]:
        if (value := os.environ.get(variable, "")).isdecimal() and int(value):
            return int(value)
    return None


def _cores() -> int:
    """The cores that this process may use. A thread on part of a core would only make the others wait."""
    share = _share()
    return _allowed() if share is None else max(1, min(_allowed(), int(share)))


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _share() -> float | None:
    return control_groups.cores()


def _possible() -> int:
    """How many of `count()` threads this process can have. Raises ConfigError if it cannot run at all."""
    threads, room = count(), process.mappable_memory()
    if room is not None:
        if room < MAPPED:
            problem = f"NumPy needs {process.size(MAPPED)} of address space, and {process.size(room)} are left"
            raise ConfigError(problem, remedy="raise the limit of this process (ulimit -v)")
        threads = min(threads, 1 + (room - MAPPED) // 2 // MAPPED_BY_A_THREAD)  # the other half is for the model
    return threads if _can_start(threads - 1) else 1


def _can_start(number: int) -> bool:
    """Whether so many threads can run beside the caller's."""
    end, started = Event(), []
    try:
        for _ in range(number):
            thread = Thread(target=end.wait)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        return False
    finally:
        end.set()
        for thread in started:
            thread.join()
    return True


def each(function: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Call the function with every item, on all threads, in any order.

    The function runs with the caller's NumPy error handling; nested calls cannot deadlock. No call is still running
    when this returns or raises. Raises what the function raises; an error in the calling thread comes first.
    """
    threads, left = count(), deque(items)  # shared: a thread that is done takes the next item
    if threads == 1 or len(items) < 2:
        _take(function, left)
        return
    from concurrent.futures import Future, wait

    import numpy as np

    errors = np.geterr()

    def help_out() -> None:
        with np.errstate(**errors):  # before NumPy 2.0, new threads did not inherit it
            _take(function, left)

    calls, helpers = _helpers(os.getpid(), threads - 1)
    others: list[Future[None]] = [Future() for _ in range(min(helpers, len(items) - 1))]
    for other in others:
        calls.put((other, help_out))
    try:
        _take(function, left)
    finally:
        # Cancel those that have not started: no item is left, and their thread may be waiting for this one.
        running = [other for other in others if not other.cancel()]
        wait(running)
    for other in running:
        other.result()


def share(function: Callable[[Item], object], items: Sequence[Item], numbers: int) -> None:
    """`each` if the items have enough `numbers` in total for a second thread to pay off, otherwise a plain loop."""
    if numbers >= SHARED:
        each(function, items)
    else:
        for item in items:
            function(item)


def divide(function: Callable[[slice], object], length: int, numbers: int) -> None:
    """Call the function with consecutive slices of a sequence of this length, one for each thread, as `share` does."""
    parts = min(count(), length) if numbers >= SHARED else 1
    if parts < 2:
        function(slice(0, length))
    else:
        each(function, [slice(length * k // parts, length * (k + 1) // parts) for k in range(parts)])


def _take(function: Callable[[Item], object], left: deque[Item]) -> None:
    while True:
        try:
            item = left.popleft()  # atomic: no other thread gets the same item
        except IndexError:
            return
        function(item)


@cache
def _helpers(process: int, threads: int) -> tuple[SimpleQueue[Call], int]:
    """The threads in addition to the caller's: the queue of their calls, and how many have started.

    Fewer than `threads` where the system allows no more, maybe none. Cached by process, because a fork does not copy
    threads.
    """
    from queue import SimpleQueue

    calls: SimpleQueue[Call] = SimpleQueue()
    started = 0
    with suppress(RuntimeError, MemoryError):
        for _ in range(threads):
            Thread(target=_serve, args=(calls,), name="rnncli", daemon=True).start()
            started += 1
    return calls, started


def _serve(calls: SimpleQueue[Call]) -> None:
    while True:
        _answer(*calls.get())


def _answer(call: Future[None], work: Callable[[], None]) -> None:
    """Do the work of a call unless it was cancelled; an error is raised where its result is asked for."""
    if call.set_running_or_notify_cancel():
        try:
            work()
        except BaseException as error:
            call.set_exception(error)
        else:
            call.set_result(None)
