"""Clipping, the optimizers and the learning-rate schedules, all over one flat vector.

A vector is worked on in chunks, which all cores share. What is computed of a chunk does not depend on who computes it,
and sums of chunks are added up in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnncli.model.parameters import Array, Touched
from rnncli.optim.base import dense_chunks
from rnncli.system import threads


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

        threads.share(work, dense_chunks(vector.size, tables), vector.size)
        for table in tables:
            table.of(vector)[table.rows] -= learning_rate * table.of(gradient)[table.rows]
