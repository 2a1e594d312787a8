"""The cores: what a BLAS is told before NumPy loads, and elementwise work on all of them.

Matrix products use the cores by themselves. Elementwise work on large arrays does so through `share`: NumPy lets go of
the interpreter while it computes. This module imports no NumPy, so that `prepare` can come before it.
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

# Elementwise work on fewer numbers is done before a second thread has begun.
SHARED = 1 << 18

# What a BLAS reads when NumPy is imported.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def prepare(threads: int | None = None) -> None:
    """Set how many threads are used, None for one on each core, and what else a BLAS reads when NumPy is imported.

    What the user set in the environment stays as it is. Where NumPy is imported already only `each` changes here;
    `machine.set_threads` changes the BLAS.
    """
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if "numpy" in sys.modules:
        return
    # A thread of OpenBLAS that waits for its next product spins for 2^26 cycles, on the core that `each` needs.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")


def count() -> int:
    """How many threads are used: what the environment says, else one on each core."""
    for variable in THREAD_VARIABLES[:2]:
        if (value := os.environ.get(variable, "")).isdecimal() and int(value):
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Call the function with every item, on all threads; it must not matter in which order, or at the same time.

    The function runs with NumPy's error handling of the caller; one that calls `each` itself waits for nobody. When
    this returns or raises nothing runs any more. Raises what the function raises; the caller's own comes first.
    """
    threads = min(count(), len(items)) if len(items) > 1 else 1
    left = deque(items)  # shared: who is done takes the next
    if threads == 1:
        _take(function, left)
        return
    from concurrent.futures import wait

    import numpy as np

    errors = np.geterr()

    def help_out() -> None:
        with np.errstate(**errors):  # before NumPy 2.0 a new context did not bring it along
            _take(function, left)

    executor = _executor(os.getpid(), threads - 1)
    others = [executor.submit(help_out) for _ in range(threads - 1)]
    try:
        _take(function, left)
    finally:
        # Who has not begun finds nothing left, and may never begin: it may wait for this very thread.
        running = [other for other in others if not other.cancel()]
        wait(running)
    for other in running:
        other.result()


def share(function: Callable[[Item], object], items: Sequence[Item], numbers: int) -> None:
    """`each`, where so many numbers are worked on in all that a second thread pays; else one item after another."""
    if numbers >= SHARED:
        each(function, items)
    else:
        _take(function, deque(items))


def _take(function: Callable[[Item], object], left: deque[Item]) -> None:
    while True:
        try:
            item = left.popleft()  # no other thread gets the same
        except IndexError:
            return
        function(item)


@cache
def _executor(process: int, threads: int) -> ThreadPoolExecutor:
    """The threads beside the caller's own; a forked process has to make its own."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(threads, "rnncli")
