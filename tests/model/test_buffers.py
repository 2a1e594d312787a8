import threading
import tracemalloc

import numpy as np
import pytest

from rnncli.model.buffers import Buffers


def test_a_buffer_is_made_once_and_shared_by_smaller_shapes():
    buffers = Buffers()
    large = buffers.array("a", (4, 5, 6), np.float32)
    small = buffers.array("a", (3, 7), np.float32)
    assert (large.shape, small.shape) == ((4, 5, 6), (3, 7))
    assert large.flags["C_CONTIGUOUS"]
    assert small.flags["C_CONTIGUOUS"]
    assert np.shares_memory(large, small)
    assert np.shares_memory(large, buffers.array("a", (120,), np.float32))
    assert not np.shares_memory(large, buffers.array("a", (121,), np.float32))


@pytest.mark.parametrize(("name", "dtype"), [("b", np.float32), ("a", np.float64), ("a", np.complex128)])
def test_another_name_or_dtype_is_another_array(name, dtype):
    buffers = Buffers()
    first = buffers.array("a", (4, 5), np.float32)
    other = buffers.array(name, (4, 5), dtype)
    assert other.dtype == dtype
    assert not np.shares_memory(first, other)
    assert np.shares_memory(first, buffers.array("a", (4, 5), np.float32))


def test_an_empty_array():
    assert Buffers().array("a", (0, 5), np.float32).shape == (0, 5)


def test_a_larger_one_takes_the_place_of_the_smaller():
    buffers = Buffers()
    tracemalloc.start()
    try:
        for size in (1_000_000, 1_100_000, 1_200_000):
            buffers.array("a", (size,), np.uint8)
        assert tracemalloc.get_traced_memory()[1] < 1_300_000
    finally:
        tracemalloc.stop()


def test_scratch_is_shared_and_arrays_are_not():
    shared = Buffers()
    one, other = Buffers(shared), Buffers(shared)
    assert np.shares_memory(one.scratch("a", (3, 4), np.float32), other.scratch("a", (12,), np.float32))
    assert not np.shares_memory(one.array("a", (3, 4), np.float32), other.array("a", (3, 4), np.float32))
    assert not np.shares_memory(one.scratch("a", (3, 4), np.float32), one.array("a", (3, 4), np.float32))
    alone = Buffers()
    assert np.shares_memory(alone.scratch("a", (3, 4), np.float32), alone.array("a", (3, 4), np.float32))


def test_each_thread_has_separate_arrays():
    buffers = Buffers(Buffers())
    mine = [buffers.array("a", (4,), np.float32), buffers.scratch("a", (4,), np.float32)]
    theirs = []

    def other():
        theirs.extend([buffers.array("a", (4,), np.float32), buffers.scratch("a", (4,), np.float32)])

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert not any(np.shares_memory(a, b) for a in mine for b in theirs)
    assert np.shares_memory(mine[0], buffers.array("a", (4,), np.float32))
