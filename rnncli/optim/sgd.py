"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncli.model.parameters import Touched, dense_chunks
from rnncli.schema.fields import setting
from rnncli.system import threads
from rnncli.system.arrays import Array


class Sgd:
    """w -= learning_rate * u, with u = momentum * u + gradient (Polyak 1964, in the form of PyTorch).

    Without momentum u is the gradient, and nothing is kept.
    """

    @dataclass(frozen=True)
    class Options:
        momentum: float = setting(0.0, minimum=0, below=1, later=True)

    squares: tuple[str, ...] = ()

    @staticmethod
    def moment_names(options: Any = None) -> tuple[str, ...]:
        return ("u",) if options is not None and options.momentum else ()

    def __init__(self, size: int, dtype: np.dtype[np.generic], options: Any = None) -> None:
        self.momentum = options.momentum if options is not None else 0.0
        self.moments: dict[str, Array] = {name: np.zeros(size, dtype) for name in self.moment_names(options)}

    def step_(
        self, vector: Array, gradient: Array, learning_rate: float, step: int, tables: Sequence[Touched] = ()
    ) -> None:
        u = self.moments.get("u")

        def plain(chunk: slice) -> None:
            vector[chunk] -= learning_rate * gradient[chunk]

        def moving(chunk: slice) -> None:
            assert u is not None
            u[chunk] *= self.momentum
            u[chunk] += gradient[chunk]
            vector[chunk] -= learning_rate * u[chunk]

        if u is not None:  # every row moves, also one without gradient
            threads.share(moving, dense_chunks(vector.size, ()), vector.size)
            return
        threads.share(plain, dense_chunks(vector.size, tables), vector.size)
        for table in tables:
            table.of(vector)[table.rows] -= learning_rate * table.of(gradient)[table.rows]
