"""Threads: the number that the BLAS uses, and elementwise work on several threads.

The BLAS runs matrix products on several threads. `share` does so for elementwise work on large arrays: NumPy releases
the GIL while it computes. This module imports no NumPy, so that `prepare` can run before NumPy is imported.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Item = TypeVar("Item")

# Numbers; elementwise work on fewer is done before a second thread has started.
SHARED = 1 << 18

# Environment variables that a BLAS reads when NumPy is imported.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def prepare(threads: int | None = None) -> None:
    """Set the environment variables that a BLAS reads when NumPy is imported.

    threads: None for the number in the environment, or one per core.

    If NumPy is already imported, this affects `each` only; `blas.set_threads` sets the threads of the BLAS.
    """
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if "numpy" in sys.modules:
        return
    # By default an idle OpenBLAS thread spins for 2^26 cycles, on the core that `each` needs.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")


def count() -> int:
    """The number of threads: from the environment, otherwise one per core."""
    for variable in THREAD_VARIABLES[:2]:
        if (value := os.environ.get(variable, "")).isdecimal() and int(value):
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Call the function with every item, on all threads, in any order.

    The function runs with the caller's NumPy error handling; nested calls cannot deadlock. No call is still running
    when this returns or raises. Raises what the function raises; an error in the calling thread comes first.
    """
    threads = min(count(), len(items)) if len(items) > 1 else 1
    left = deque(items)  # shared: a thread that is done takes the next item
    if threads == 1:
        _take(function, left)
        return
    from concurrent.futures import wait

    import numpy as np

    errors = np.geterr()

    def help_out() -> None:
        with np.errstate(**errors):  # before NumPy 2.0, new threads did not inherit it
            _take(function, left)

    executor = _executor(os.getpid(), threads - 1)
    others = [executor.submit(help_out) for _ in range(threads - 1)]
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
        _take(function, deque(items))


def _take(function: Callable[[Item], object], left: deque[Item]) -> None:
    while True:
        try:
            item = left.popleft()  # atomic: no other thread gets the same item
        except IndexError:
            return
        function(item)


@cache
def _executor(process: int, threads: int) -> ThreadPoolExecutor:
    """The threads in addition to the caller's; cached by process, because a fork does not copy threads."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(threads, "rnncli")
