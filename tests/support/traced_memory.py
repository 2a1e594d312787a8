"""What some work takes in memory."""

import tracemalloc


def peak_of(work):
    """Bytes that some work has at its peak beside what was there before, once it has imported what it needs."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
