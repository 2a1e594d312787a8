import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.model.buffers import Buffers
from rnncli.model.cells.inputs import to_rows, to_steps, transposed
from rnncli.system import threads

SIZES = st.integers(1, 7), st.sampled_from([1, 3, 255, 256, 257, 600]), st.integers(1, 4)


@pytest.mark.parametrize("count", [1, 2, 3])
@given(*SIZES)
def test_the_two_layouts_of_a_sequence(count, T, n, B):
    rng = np.random.default_rng(T)
    rows, bias = rng.normal(size=(T * B, n)).astype(np.float32), rng.normal(size=n).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "SHARED", 1)
        patch.setattr(threads, "count", lambda: count)
        steps = to_steps(rows, np.empty((T, n, B), np.float32))
        for t in range(T):
            np.testing.assert_array_equal(steps[t], rows[t * B : (t + 1) * B].T)
        np.testing.assert_array_equal(to_rows(steps, np.empty_like(rows)), rows)
        moved = to_steps(rows.copy(), np.empty((T, n, B), np.float32), bias)
    np.testing.assert_array_equal(moved, steps + bias[:, None])


@given(st.integers(1, 200), st.integers(1, 5))
def test_transposed(n, m):
    W = np.arange(n * m, dtype=np.float64).reshape(n, m)
    W_transposed = transposed(W, Buffers())
    np.testing.assert_array_equal(W_transposed, W.T)
    assert W_transposed.flags.c_contiguous
