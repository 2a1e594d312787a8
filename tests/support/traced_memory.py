"""Memory that a function allocates."""

import tracemalloc


def peak_of(work):
    """Peak of the bytes that `work` allocates; it should have imported its modules before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
