"""functional.py against closed forms, and its gradients against complex-step derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rnncli.reference.functional import log_softmax, one_hot, sigmoid, sigmoid_backward, softmax, tanh_backward

logits = arrays(np.float64, array_shapes(min_dims=2, max_dims=3, max_side=4), elements=st.floats(-1e4, 1e4))


def complex_step(f, x, h=1e-20):
    """Derivative of sum(f(x)) by each element of x."""
    gradient = np.zeros(x.shape)
    for i in np.ndindex(*x.shape):
        z = x.astype(complex)
        z[i] += 1j * h
        gradient[i] = f(z).sum().imag / h
    return gradient


def test_sigmoid_closed_forms():
    np.testing.assert_allclose(sigmoid(np.array([0.0, np.log(3.0), -np.log(3.0)])), [0.5, 0.75, 0.25], rtol=1e-15)
    np.testing.assert_array_equal(sigmoid(np.array([-1e4, 1e4])), [0, 1])


def test_softmax_closed_forms():
    np.testing.assert_allclose(softmax(np.log([[1.0, 4.0], [3.0, 4.0]])), [[0.25, 0.5], [0.75, 0.5]], rtol=1e-15)
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0]]), axis=1), [[0.25, 0.75]], rtol=1e-15)
    np.testing.assert_array_equal(softmax(np.array([[0.0, 1000.0], [0.0, 1000.0]])), 0.5)  # each column its own maximum


def test_log_softmax_stays_finite_where_softmax_underflows():
    x = np.array([[5000.0, -5000.0], [-5000.0, -5000.0]])
    np.testing.assert_allclose(log_softmax(x), [[0, -np.log(2)], [-10000, -np.log(2)]], rtol=1e-15)


@given(logits)
def test_softmax_is_a_distribution_in_every_column(x):
    p = softmax(x)
    np.testing.assert_allclose(p.sum(axis=0), 1, rtol=1e-14)
    assert p.min() >= 0
    np.testing.assert_allclose(np.exp(log_softmax(x)), p, rtol=1e-11, atol=1e-300)
    np.testing.assert_array_equal(log_softmax(x.swapaxes(0, 1), axis=1), log_softmax(x).swapaxes(0, 1))


def test_gradients_equal_complex_step_derivatives():
    rng = np.random.default_rng(0)
    x, dout = rng.normal(size=(2, 4, 3))
    targets = one_hot(rng.integers(4, size=3), 4)
    close = {"rtol": 1e-12, "atol": 1e-15}
    np.testing.assert_allclose(
        sigmoid_backward(dout, sigmoid(x)), complex_step(lambda z: dout * sigmoid(z), x), **close
    )
    np.testing.assert_allclose(tanh_backward(dout, np.tanh(x)), complex_step(lambda z: dout * np.tanh(z), x), **close)
    np.testing.assert_allclose(softmax(x) - targets, complex_step(lambda z: -targets * log_softmax(z), x), **close)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_dtype_is_kept_and_the_input_too(dtype):
    x = np.linspace(-2, 2, 6).reshape(3, 2).astype(dtype)
    before = x.copy()
    results = [sigmoid(x), softmax(x), log_softmax(x), sigmoid_backward(x, x), tanh_backward(x, x)]
    results += [one_hot([1, 0], 2, dtype)]
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    np.testing.assert_array_equal(x, before)


def test_one_hot():
    np.testing.assert_array_equal(one_hot([2, 0], 3), [[0, 1], [0, 0], [1, 0]])
    assert one_hot(np.zeros((2, 5), np.uint8), 4).shape == (4, 2, 5)
    assert one_hot(np.zeros((0,), int), 4).shape == (4, 0)
    for ids in ([-1], [3]):
        with pytest.raises(ValueError, match=r"allows 0 \.\.\. 2"):
            one_hot(ids, 3)
    with pytest.raises(TypeError, match="integers, not float64"):
        one_hot([0.5], 3)
