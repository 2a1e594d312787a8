"""Clipping, the optimizers and the learning-rate schedules, all over one flat vector.

A vector is worked on in chunks, which all cores share. What is computed of a chunk does not depend on who computes it,
and sums of chunks are added up in their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rnncli import threads
from rnncli.parameters import Array, Touched

# Elements of the vector that are updated together: they and their moments stay in a core's cache.
CHUNK = 1 << 16
# The first moment of what has no gradient fades to numbers too small to be normal, on which a processor is slow. Of
# every so many steps one puts those to 0 that are below so many times the smallest normal number.
FLUSH_EVERY, FLUSH = 64, 1e6


def clip_by_global_norm_(gradient: Array, clip_norm: float | None, tables: Sequence[Touched] = ()) -> float:
    """Scale the gradient (size,) down to Euclidean norm `clip_norm` if it is longer (Pascanu et al. 2013).

    Of `tables` only the touched rows are read. Returns the norm before clipping; None never clips. A norm that is not
    finite leaves the gradient as it is: the caller sees it in the result.
    """
    norm = math.sqrt(_sum_of_squares(gradient, gradient.dtype, tables))
    if not math.isfinite(norm):  # squares of numbers above 1e19 overflow in float32, and the norm may not
        norm = math.sqrt(_sum_of_squares(gradient, np.dtype(np.float64), tables))
    if clip_norm is not None and clip_norm < norm < np.inf:
        scale = clip_norm / norm

        def work(chunk: slice) -> None:
            gradient[chunk] *= scale

        threads.share(work, _dense_chunks(gradient.size, tables), gradient.size)
        for table in tables:
            table.of(gradient)[table.rows] *= scale
    return norm


def _sum_of_squares(gradient: Array, dtype: np.dtype[Any], tables: Sequence[Touched]) -> float:
    """Each chunk in the given dtype, their sum in float64."""
    parts = [gradient[chunk] for chunk in _dense_chunks(gradient.size, tables)]
    parts += [table.of(gradient)[table.rows].reshape(-1) for table in tables]
    squares = np.zeros(len(parts))

    def work(k: int) -> None:
        part = parts[k].astype(dtype, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            squares[k] = np.dot(part, part)

    threads.share(work, range(len(parts)), sum(part.size for part in parts))
    return float(squares.sum())


def _dense_chunks(size: int, tables: Sequence[Touched]) -> list[slice]:
    """The vector without the tables."""
    edges = [0, *(edge for table in tables for edge in (table.start, table.stop)), size]
    spans = zip(edges[::2], edges[1::2], strict=True)
    return [slice(begin, min(begin + CHUNK, stop)) for start, stop in spans for begin in range(start, stop, CHUNK)]


class Optimizer(Protocol):
    """Changes a vector of parameters by its gradient."""

    moment_names: tuple[str, ...]
    squares: tuple[str, ...]
    """Those of the moments that are never below 0."""
    moments: dict[str, Array]
    """What is remembered between steps, each (size,), by name; a checkpoint stores it."""

    def step_(
        self, vector: Array, gradient: Array, learning_rate: float, step: int, tables: Sequence[Touched] = ()
    ) -> None:
        """Update `vector` (size,) in place; `step` counts from 1. `gradient` is left as it is.

        `tables` are parts of the gradient that are known to be zero but for some rows.
        """


class Sgd:
    """Plain stochastic gradient descent: w -= learning_rate * gradient."""

    moment_names: tuple[str, ...] = ()
    squares: tuple[str, ...] = ()

    def __init__(self, size: int, dtype: np.dtype[np.generic]) -> None:
        self.moments: dict[str, Array] = {}

    def step_(
        self, vector: Array, gradient: Array, learning_rate: float, step: int, tables: Sequence[Touched] = ()
    ) -> None:
        def work(chunk: slice) -> None:
            vector[chunk] -= learning_rate * gradient[chunk]

        threads.share(work, _dense_chunks(vector.size, tables), vector.size)
        for table in tables:
            table.of(vector)[table.rows] -= learning_rate * table.of(gradient)[table.rows]


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), dense, epsilon outside the root.

    Same result as `reference.update_parameters_with_adam`. The bias corrections 1 - beta^t are taken into the step
    size and into epsilon, as section 2 of the paper says, so that each element is touched in one pass. The rows of a
    table that are not touched have the gradient 0, and move on by their moments as all others do.
    """

    moment_names: tuple[str, ...] = ("m", "v")
    squares: tuple[str, ...] = ("v",)

    def __init__(
        self, size: int, dtype: np.dtype[np.generic], beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.moments: dict[str, Array] = {name: np.zeros(size, dtype) for name in self.moment_names}

    def step_(
        self, vector: Array, gradient: Array, learning_rate: float, step: int, tables: Sequence[Touched] = ()
    ) -> None:
        correction1, correction2 = 1 - self.beta1**step, 1 - self.beta2**step
        # lr * (m / correction1) / (sqrt(v / correction2) + epsilon)
        #   = (lr * sqrt(correction2) / correction1) * m / (sqrt(v) + epsilon * sqrt(correction2))
        move = _Move(
            learning_rate * float(np.sqrt(correction2)) / correction1,
            self.epsilon * float(np.sqrt(correction2)),
            float(np.finfo(vector.dtype).tiny) * FLUSH if step % FLUSH_EVERY == 0 else 0.0,
        )
        m, v = self.moments["m"], self.moments["v"]

        def dense(chunk: slice) -> None:
            self._update_(vector[chunk], m[chunk], v[chunk], gradient[chunk], move)

        threads.share(dense, _dense_chunks(vector.size, tables), vector.size)
        for table in tables:
            whole, rows = (table.of(vector), table.of(m), table.of(v)), table.rows
            w_rows, m_rows, v_rows = (each[rows] for each in whole)  # copies
            self._update_(w_rows, m_rows, v_rows, table.of(gradient)[rows], move)
            self._pass_(*whole, move)
            for each, updated in zip(whole, (w_rows, m_rows, v_rows), strict=True):
                each[rows] = updated

    def _update_(self, w: Array, m: Array, v: Array, g: Array, move: _Move) -> None:
        m *= self.beta1
        scratch = g * (1 - self.beta1)
        m += scratch
        v *= self.beta2
        np.multiply(g, g, out=scratch)
        scratch *= 1 - self.beta2
        v += scratch
        move.apply_(w, m, v, scratch)

    def _pass_(self, w: Array, m: Array, v: Array, move: _Move) -> None:
        """Update the rows of a table by the gradient 0: what `_update_` does with it, bit for bit."""

        def work(start: int) -> None:
            rows = slice(start, start + size)
            m[rows] *= self.beta1
            v[rows] *= self.beta2
            move.apply_(w[rows], m[rows], v[rows], np.empty_like(m[rows]))

        size = max(1, CHUNK // m.shape[1])
        threads.share(work, range(0, len(m), size), m.size)


@dataclass(frozen=True)
class _Move:
    """W -= step_size * m / (sqrt(v) + epsilon), with what is smaller than `flush` in m put to 0 first."""

    step_size: float
    epsilon: float
    flush: float

    def apply_(self, w: Array, m: Array, v: Array, scratch: Array) -> None:
        if self.flush:
            m[np.abs(m) < self.flush] = 0
        np.sqrt(v, out=scratch)
        scratch += self.epsilon
        np.divide(m, scratch, out=scratch)
        scratch *= self.step_size
        w -= scratch


class LazyAdam(Adam):
    """Adam that leaves the rows of a table that have no gradient as they are, their moments too.

    Another algorithm than Adam, cheaper where a vocabulary is large: a word that a step does not have costs nothing,
    and takes no step by what it had before.
    """

    def _pass_(self, w: Array, m: Array, v: Array, move: _Move) -> None:
        pass


OPTIMIZERS: dict[str, type[Adam] | type[Sgd]] = {"adam": Adam, "lazy_adam": LazyAdam, "sgd": Sgd}


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
