"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncli.model.parameters import Touched, dense_chunks
from rnncli.schema.fields import NoOptions
from rnncli.system import threads
from rnncli.system.arrays import Array


class Sgd:
    """Plain stochastic gradient descent: w -= learning_rate * gradient."""

    Options = NoOptions
    moment_names: tuple[str, ...] = ()
    squares: tuple[str, ...] = ()

    def __init__(self, size: int, dtype: np.dtype[np.generic], options: Any = None) -> None:
        self.moments: dict[str, Array] = {}

    def step_(
        self, vector: Array, gradient: Array, learning_rate: float, step: int, tables: Sequence[Touched] = ()
    ) -> None:
        def work(chunk: slice) -> None:
            vector[chunk] -= learning_rate * gradient[chunk]

        threads.share(work, dense_chunks(vector.size, tables), vector.size)
        for table in tables:
            table.of(vector)[table.rows] -= learning_rate * table.of(gradient)[table.rows]
