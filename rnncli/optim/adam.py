"""Adam, and a variant that skips rows without gradient.

The vector is updated in chunks on all cores; the result does not depend on which thread computes a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncli.model.parameters import CHUNK, Touched, dense_chunks
from rnncli.schema.fields import setting
from rnncli.system import threads
from rnncli.system.arrays import Array

# Elements of the vector, and of each moment, that are updated together.
UPDATED = 2 * CHUNK

# Without gradient the first moment decays to subnormal numbers, which are slow to compute with. Every FLUSH_EVERY steps
# those below FLUSH times the smallest normal number are set to 0.
FLUSH_EVERY, FLUSH = 64, 1e6


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), dense, epsilon outside the root.

    Same result as `reference.update_parameters_with_adam`. The bias corrections 1 - beta^t are folded into the
    step size and epsilon (section 2 of the paper), so that each element is updated in one pass. Rows of a table
    that are not touched have gradient 0; their moments still move them.
    """

    @dataclass(frozen=True)
    class Options:
        """Decay rates of the two moments, and the term that keeps the denominator above 0."""

        beta1: float = setting(0.9, minimum=0, below=1, later=True)
        beta2: float = setting(0.999, minimum=0, below=1, later=True)
        epsilon: float = setting(1e-8, above=0, later=True)

    squares: tuple[str, ...] = ("v",)
    skips_rows = False

    @staticmethod
    def moment_names(options: Any = None) -> tuple[str, ...]:
        return ("m", "v")

    def __init__(self, size: int, dtype: np.dtype[np.generic], options: Options | None = None) -> None:
        o = options or self.Options()
        self.beta1, self.beta2, self.epsilon = o.beta1, o.beta2, o.epsilon
        self.moments: dict[str, Array] = {name: np.zeros(size, dtype) for name in self.moment_names(o)}

    def step_(
        self, vector: Array, gradient: Array, learning_rate: float, step: int, tables: Sequence[Touched] = ()
    ) -> None:
        if vector.size < threads.SHARED and not self.skips_rows:
            tables = ()  # the same bits, and one pass over all is faster
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

        threads.share(dense, dense_chunks(vector.size, tables, UPDATED), vector.size)
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
        """Update all rows of a table with gradient 0; same bits as `_update_` with zeros."""

        def work(start: int) -> None:
            rows = slice(start, start + size)
            m[rows] *= self.beta1
            v[rows] *= self.beta2
            move.apply_(w[rows], m[rows], v[rows], np.empty_like(m[rows]))

        size = max(1, UPDATED // m.shape[1])
        threads.share(work, range(0, len(m), size), m.size)


@dataclass(frozen=True)
class _Move:
    """W -= step_size * m / (sqrt(v) + epsilon), after setting elements of m below `flush` to 0."""

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
    """Adam that leaves rows of a table without gradient unchanged, their moments too.

    This is a different algorithm from Adam. It is cheaper for a large vocabulary: a word that does not occur in a step
    costs nothing, and its moments do not move it.
    """

    skips_rows = True

    def _pass_(self, w: Array, m: Array, v: Array, move: _Move) -> None:
        pass
