"""Sigmoid and tanh with their gradients, softmax, its logarithm, and one-hot vectors.

Every function keeps the dtype of its input: float32, float64 or complex. A complex-step derivative, Im f(x + ih) / h
(Squire and Trapp, 1998), needs analytic functions, so no function here takes an absolute value, and the only comparison
(the maximum in softmax) uses the real part.

The gradient of a function follows it, is named `<function>_backward`, and takes `dout`, the gradient of the loss with
respect to the function's result.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rnncli.system.arrays import Array


def sigmoid(x: Array) -> Array:
    """Logistic function 1 / (1 + exp(-x)), elementwise; any shape, dtype kept (notebooks 002, 004).

    Computed as 0.5 tanh(x/2) + 0.5: the same function, but it cannot overflow, and it accepts complex numbers.
    """
    out: Array = 0.5 * np.tanh(0.5 * x) + 0.5
    return out


def sigmoid_backward(dout: Array, out: Array) -> Array:
    """Gradient from the result out = sigmoid(x): dout * out * (1 - out), all of one shape."""
    dx: Array = dout * out * (1 - out)
    return dx


def tanh_backward(dout: Array, out: Array) -> Array:
    """Gradient from the result out = tanh(x): dout * (1 - out^2), all of one shape (notebook 001, section 3.1)."""
    dx: Array = dout * (1 - out * out)
    return dx


def softmax(x: Array, axis: int = 0) -> Array:
    """exp(x) / sum(exp(x)) along `axis`; shape and dtype of `x` (notebook 002, but stable for every column).

    Each column is shifted by its own maximum. One maximum for the whole batch (notebook 002) gives 0/0 for a column
    whose values are far below the others.

    Raises ValueError if `axis` has length 0.
    """
    exponentials = np.exp(x - _largest_real_part(x, axis))
    out: Array = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return out


def log_softmax(x: Array, axis: int = 0) -> Array:
    """log(softmax(x)) along `axis`, finite even if softmax underflows to 0; shape and dtype of `x`.

    Raises ValueError if `axis` has length 0.
    """
    shifted = x - _largest_real_part(x, axis)  # not x - log(sum(exp(x))): that loses digits for x far from 0
    out: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return out


def one_hot(ids: npt.ArrayLike, size: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """One-hot vectors along a new first axis: integers of any shape -> (size, *shape) of `dtype` (notebook 000).

    Raises TypeError if `ids` are not integers, ValueError if one is not in 0 ... size - 1.
    """
    rows = np.asarray(ids)
    if not np.issubdtype(rows.dtype, np.integer):
        raise TypeError(f"ids must be integers, not {rows.dtype}")
    if rows.size and not 0 <= rows.min() <= rows.max() < size:
        raise ValueError(f"ids run from {rows.min()} to {rows.max()}, but size {size} allows 0 ... {size - 1}")
    flat: Array = np.zeros((size, rows.size), dtype)
    flat[rows.ravel(), np.arange(rows.size)] = 1
    return flat.reshape(size, *rows.shape)


def _largest_real_part(x: Array, axis: int) -> Array:
    # A real shift cancels in the result, so any number near the maximum will do, and its derivative is zero.
    largest: Array = x.real.max(axis=axis, keepdims=True)
    return largest
