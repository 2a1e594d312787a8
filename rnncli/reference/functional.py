"""Sigmoid and tanh with their gradients, softmax, its logarithm, and one-hot, on NumPy alone.

Every function keeps the dtype of its input: float32 stays float32, float64 stays float64, and complex numbers go
through. A complex-step derivative, Im f(x + ih) / h (Squire and Trapp, 1998), needs functions that are analytic: so
nothing here takes an absolute value, and the one comparison (the maximum in softmax) looks at the real part only.

A gradient stands right below its function, is named `<function>_backward`, and takes `dout`, the gradient of the loss
with respect to the function's result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def sigmoid(x: Array) -> Array:
    """Logistic function 1 / (1 + exp(-x)), elementwise; any shape, dtype kept (notebooks 002, 004).

    Written as 0.5 tanh(x/2) + 0.5, which is the same function, cannot overflow, and is analytic in complex numbers.
    """
    out: Array = 0.5 * np.tanh(0.5 * x) + 0.5
    return out


def sigmoid_backward(dout: Array, out: Array) -> Array:
    """Gradient from the sigmoid's own result: dout * out * (1 - out), all of one shape."""
    dx: Array = dout * out * (1 - out)
    return dx


def tanh_backward(dout: Array, out: Array) -> Array:
    """Gradient from the result out = tanh(x): dout * (1 - out^2), all of one shape (notebook 001, section 3.1)."""
    dx: Array = dout * (1 - out * out)
    return dx


def softmax(x: Array, axis: int = 0) -> Array:
    """exp(x) / sum of exp(x) along `axis`; shape and dtype of `x` (notebook 002, made stable for every column).

    Each column is shifted by its own maximum: one maximum for the whole batch (notebook 002) turns a column that lies
    far below the others into 0/0.

    Raises ValueError where `axis` has length 0.
    """
    exponentials = np.exp(x - _largest_real_part(x, axis))
    out: Array = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return out


def log_softmax(x: Array, axis: int = 0) -> Array:
    """log(softmax(x)) along `axis`, finite where softmax itself underflows to 0; shape and dtype of `x`.

    Raises ValueError where `axis` has length 0.
    """
    shifted = x - _largest_real_part(x, axis)  # not x - log(sum(exp(x))): far from 0 that would round digits away
    out: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return out


def one_hot(ids: npt.ArrayLike, size: int, dtype: npt.DTypeLike = np.float64) -> Array:
    """One-hot vectors along a new first axis: integers of any shape -> (size, *shape) of `dtype` (notebook 000).

    Raises TypeError where `ids` are not integers, ValueError where one is not in 0 ... size - 1.
    """
    rows = np.asarray(ids)
    if not np.issubdtype(rows.dtype, np.integer):
        raise TypeError(f"ids must be integers, not {rows.dtype}")
    if rows.size and not 0 <= rows.min() <= rows.max() < size:
        raise ValueError(f"ids run from {rows.min()} to {rows.max()}, but size {size} allows 0 ... {size - 1} only")
    flat: Array = np.zeros((size, rows.size), dtype)
    flat[rows.ravel(), np.arange(rows.size)] = 1
    return flat.reshape(size, *rows.shape)


def _largest_real_part(x: Array, axis: int) -> Array:
    # A real shift cancels exactly, so it may be any number near the maximum and has no derivative of its own.
    largest: Array = x.real.max(axis=axis, keepdims=True)
    return largest
