"""Clipping by the global norm.

The vector is processed in chunks on all cores. The result of a chunk does not depend on the thread that computes it,
and the sums of chunks are added in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncli.model.parameters import Touched, dense_chunks
from rnncli.system import threads
from rnncli.system.arrays import Array


def clip_by_global_norm_(gradient: Array, clip_norm: float | None, tables: Sequence[Touched] = ()) -> float:
    """Scale the gradient (size,) down to Euclidean norm `clip_norm` if it is longer (Pascanu et al. 2013).

    Only the touched rows of `tables` are read. Returns the norm before clipping; None never clips. A norm that is not
    finite leaves the gradient unchanged: the caller sees it in the result.
    """
    norm = math.sqrt(_sum_of_squares(gradient, gradient.dtype, tables))
    if not math.isfinite(norm):  # squares of numbers above 1e19 overflow in float32 although the norm may be finite
        norm = math.sqrt(_sum_of_squares(gradient, np.dtype(np.float64), tables))
    if clip_norm is not None and clip_norm < norm < np.inf:
        scale = clip_norm / norm

        def work(chunk: slice) -> None:
            gradient[chunk] *= scale

        threads.share(work, dense_chunks(gradient.size, tables), gradient.size)
        for table in tables:
            table.of(gradient)[table.rows] *= scale
    return norm


def _sum_of_squares(gradient: Array, dtype: np.dtype[Any], tables: Sequence[Touched]) -> float:
    """The sum of squares: each chunk in the given dtype, the total in float64."""
    parts = [gradient[chunk] for chunk in dense_chunks(gradient.size, tables)]
    parts += [table.of(gradient)[table.rows].reshape(-1) for table in tables]
    squares = np.zeros(len(parts))

    def work(k: int) -> None:
        part = parts[k].astype(dtype, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            squares[k] = np.dot(part, part)

    threads.share(work, range(len(parts)), sum(part.size for part in parts))
    return float(squares.sum())
