"""Clipping, the optimizers and the learning-rate schedules, all over one flat vector."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from rnncli.parameters import Array

# Elements of the vector that are updated together: they and their moments stay in a core's cache.
CHUNK = 1 << 14


def clip_by_global_norm_(gradient: Array, clip_norm: float | None) -> float:
    """Scale the gradient (size,) down to Euclidean norm `clip_norm` if it is longer (Pascanu et al. 2013).

    Returns the norm before clipping; None never clips. A norm that is not finite leaves the gradient as it is: the
    caller sees it in the result.
    """
    norm = math.sqrt(_sum_of_squares(gradient, gradient.dtype))
    if not math.isfinite(norm):  # squares of numbers above 1e19 overflow in float32, and the norm may not
        norm = math.sqrt(_sum_of_squares(gradient, np.dtype(np.float64)))
    if clip_norm is not None and clip_norm < norm < np.inf:
        gradient *= clip_norm / norm
    return norm


def _sum_of_squares(vector: Array, dtype: np.dtype[Any]) -> float:
    """Each chunk in the given dtype, their sum in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        chunks = (vector[start : start + CHUNK].astype(dtype, copy=False) for start in range(0, vector.size, CHUNK))
        return sum(float(np.dot(chunk, chunk)) for chunk in chunks)


class Optimizer(Protocol):
    """Changes a vector of parameters by its gradient."""

    moment_names: tuple[str, ...]
    moments: dict[str, Array]
    """What is remembered between steps, each (size,), by name; a checkpoint stores it."""

    def step_(self, vector: Array, gradient: Array, learning_rate: float, step: int) -> None:
        """Update `vector` (size,) in place; `step` counts from 1. `gradient` is left as it is."""


class Sgd:
    """Plain stochastic gradient descent: w -= learning_rate * gradient."""

    moment_names: tuple[str, ...] = ()

    def __init__(self, size: int, dtype: np.dtype[np.generic]) -> None:
        self.moments: dict[str, Array] = {}

    def step_(self, vector: Array, gradient: Array, learning_rate: float, step: int) -> None:
        for start in range(0, vector.size, CHUNK):
            chunk = slice(start, start + CHUNK)
            vector[chunk] -= learning_rate * gradient[chunk]


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), dense, epsilon outside the root.

    Same result as `reference.update_parameters_with_adam`. The bias corrections 1 - beta^t are taken into the step
    size and into epsilon, as section 2 of the paper says, so that each element is touched in one pass.
    """

    moment_names: tuple[str, ...] = ("m", "v")

    def __init__(
        self, size: int, dtype: np.dtype[np.generic], beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.moments: dict[str, Array] = {name: np.zeros(size, dtype) for name in self.moment_names}
        self._scratch: Array = np.empty(min(size, CHUNK), dtype)

    def step_(self, vector: Array, gradient: Array, learning_rate: float, step: int) -> None:
        correction1, correction2 = 1 - self.beta1**step, 1 - self.beta2**step
        # lr * (m / correction1) / (sqrt(v / correction2) + epsilon)
        #   = (lr * sqrt(correction2) / correction1) * m / (sqrt(v) + epsilon * sqrt(correction2))
        step_size = learning_rate * float(np.sqrt(correction2)) / correction1
        epsilon = self.epsilon * float(np.sqrt(correction2))
        for start in range(0, vector.size, CHUNK):
            w, g = vector[start : start + CHUNK], gradient[start : start + CHUNK]
            m, v = self.moments["m"][start : start + CHUNK], self.moments["v"][start : start + CHUNK]
            scratch = self._scratch[: w.size]
            np.multiply(g, 1 - self.beta1, out=scratch)
            m *= self.beta1
            m += scratch
            np.multiply(g, g, out=scratch)
            scratch *= 1 - self.beta2
            v *= self.beta2
            v += scratch
            np.sqrt(v, out=scratch)
            scratch += epsilon
            np.divide(m, scratch, out=scratch)
            scratch *= step_size
            w -= scratch


OPTIMIZERS: dict[str, type[Adam] | type[Sgd]] = {"adam": Adam, "sgd": Sgd}


class Schedule(Protocol):
    """What the learning rate is multiplied by at each step."""

    def factor(self, step: int, done: float) -> float:
        """The factor after `step` steps, when `done` of the planned words, a share from 0 to 1, have been read."""


class Constant:
    """The learning rate as it is set."""

    def __init__(self, options: object = None) -> None:
        pass

    def factor(self, step: int, done: float) -> float:
        return 1.0


SCHEDULES: dict[str, type[Constant]] = {"constant": Constant}
