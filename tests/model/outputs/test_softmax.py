import numpy as np
import pytest
from support.output_results import TIGHT, positions, random_tensors

from rnncli.model.outputs import full as softmax
from rnncli.model.outputs.full import BLOCK, Softmax, exponentiate_, log_softmax
from rnncli.system import threads
from rnncli.system.threads import SHARED


def never(rows):
    raise AssertionError(f"rows {rows} are not to be made again")


def matrix(N, n, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=(N, n)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize(("N", "n"), [(0, 5), (1, 1), (7, 3), (1, BLOCK + 1), (3, BLOCK), (5, BLOCK // 2 - 1)])
def test_exponentials_and_their_sums(N, n, dtype):
    logits, b = matrix(N, n, dtype), matrix(1, n, dtype)[0]
    for bias in (b, None):
        exponentials = logits.copy()
        Z, shift = exponentiate_(exponentials, bias, never)
        expected = np.exp(logits.astype(np.complex128) + (0 if bias is None else bias))
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(exponentials, expected, rtol=tolerance)
        np.testing.assert_allclose(Z, expected.sum(axis=1), rtol=tolerance)
        np.testing.assert_array_equal(shift, np.zeros(N))
        assert exponentials.dtype == Z.dtype == shift.dtype == dtype


def test_only_rows_that_over_or_underflow_are_made_again():
    levels = np.array([0, 1000, 3, -1000, -2, 700])  # exp(700) is finite, but its square is not
    logits, b = matrix(6, 9) + levels[:, None], matrix(1, 9, seed=1)[0]
    asked = []

    def again(rows):
        asked.extend(rows)
        return logits[rows]

    exponentials = logits.copy()
    Z, shift = exponentiate_(exponentials, b, again)
    assert asked == [1, 3, 5]
    largest = (logits + b).max(axis=1)
    np.testing.assert_array_equal(shift, np.where(np.isin(np.arange(6), asked), largest, 0))
    expected = np.exp(logits + b - shift[:, None])
    np.testing.assert_allclose(exponentials, expected, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(Z, expected.sum(axis=1), rtol=1e-12)


def test_overflow_raises_nothing_where_numpy_errors_raise():
    logits = matrix(40, SHARED // 20) + 1000 * np.arange(-20, 20)[:, None]
    with np.errstate(all="raise"):
        Z, _ = exponentiate_(logits.copy(), None, lambda rows: logits[rows])
    assert np.isfinite(Z).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [SHARED // 8, 1000, 7])
def test_the_same_bits_on_any_number_of_threads(n, dtype, monkeypatch):
    logits, b = matrix(2 * SHARED // n + 3, n, dtype), matrix(1, n, dtype)[0]
    logits[1], logits[-1] = logits[1] + 500, logits[-1] - 500  # also the fallback
    assert logits.size >= SHARED
    shared = []
    each = threads.each
    monkeypatch.setattr(threads, "each", lambda work, items: shared.append(len(items)) or each(work, items))
    found = []
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        exponentials = logits.copy()
        Z, shift = exponentiate_(exponentials, b, lambda rows: logits[rows].copy())
        found.append([exponentials.tobytes(), Z.tobytes(), shift.tobytes()])
    assert len(shared) == 3
    assert min(shared) > 1  # several pieces of work
    assert found[0] == found[1] == found[2]


def test_a_small_matrix_asks_no_thread(monkeypatch):
    monkeypatch.setattr(threads, "each", never)
    logits = matrix(3, SHARED // 4)
    exponentiate_(logits, None, never)


def test_the_buffer_is_made_once():
    layer = Softmax()
    first = layer.buffer(6, 5, np.dtype(np.float32))
    assert first.shape == (6, 5)
    for rows, columns in [(6, 5), (5, 6), (2, 3), (0, 7)]:
        again = layer.buffer(rows, columns, np.dtype(np.float32))
        assert again.shape == (rows, columns)
        assert np.shares_memory(again, first) == (rows > 0)
    assert layer.buffer(6, 5, np.dtype(np.float64)).dtype == np.float64
    assert layer.buffer(70, 5, np.dtype(np.float64)).shape == (70, 5)


@pytest.mark.parametrize("N", [0, 1, 9, 10, 11])
def test_scores_are_the_losses_of_a_forward_pass(N, monkeypatch):
    p = random_tensors({"W": (11, 3), "b": (11,)})
    x, targets = positions(N, 11, 3)
    expected = Softmax().forward(p["W"], p["b"], x, targets)[0].copy()
    for scored in (1, 33, 40, softmax.SCORED):  # a row at a time, three, three, all
        monkeypatch.setattr(softmax, "SCORED", scored)
        found = Softmax().score(p["W"], p["b"], x, targets)
        assert found.shape == (N,)
        np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("scored", [12, 44])
def test_scores_hold_few_logits_at_a_time(scored, monkeypatch):
    monkeypatch.setattr(softmax, "SCORED", scored)
    sizes, room = [], Softmax.buffer
    monkeypatch.setattr(Softmax, "buffer", lambda self, *shape: sizes.append(shape[:2]) or room(self, *shape))
    p = random_tensors({"W": (11, 3), "b": (11,)})
    Softmax().score(p["W"], p["b"], *positions(100, 11, 3))
    assert max(rows * columns for rows, columns in sizes) <= scored
    assert sum(rows for rows, _ in sizes) == 100


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("level", [0, 1000, -1000])
def test_the_logarithm_of_a_softmax(level, dtype):
    p = random_tensors({"W": (11, 3), "b": (11,)}, dtype)
    p["b"] += dtype(level)
    x, _ = positions(6, 11, 3, dtype)
    W, b, wide = (array.astype(np.longdouble) for array in (p["W"], p["b"], x))
    logits = wide @ W.T + b
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = log_softmax(p["W"], p["b"], x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected.astype(float), rtol=0, atol=TIGHT[dtype] * max(10, abs(level)))


def test_no_rows():
    p = random_tensors({"W": (4, 3), "b": (4,)})
    nothing, targets = np.zeros((0, 3)), np.zeros(0, int)
    layer = Softmax()
    nll, cache = layer.forward(p["W"], p["b"], nothing, targets)
    g = {name: np.full_like(tensor, 77) for name, tensor in p.items()}
    dx = layer.backward_(p["W"], g["W"], g["b"], 1.0, cache)
    assert (nll.shape, dx.shape) == ((0,), (0, 3))
    assert not any(gradient.any() for gradient in g.values())
    assert log_softmax(p["W"], p["b"], nothing).shape == (0, 4)
