"""Clipping, the optimizers and the learning-rate schedules, all over one flat vector.

A vector is worked on in chunks, which all cores share. What is computed of a chunk does not depend on who computes it,
and sums of chunks are added up in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnncli.model.parameters import Array, Touched
from rnncli.optim.base import CHUNK, dense_chunks
from rnncli.system import threads

# The first moment of what has no gradient fades to numbers too small to be normal, on which a processor is slow. Of
# every so many steps one puts those to 0 that are below so many times the smallest normal number.
FLUSH_EVERY, FLUSH = 64, 1e6


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

        threads.share(dense, dense_chunks(vector.size, tables), vector.size)
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
