"""Clipping, the optimizers and the learning-rate schedules, all over one flat vector.

A vector is worked on in chunks, which all cores share. What is computed of a chunk does not depend on who computes it,
and sums of chunks are added up in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rnncli.model.parameters import Array, Touched

# Elements of the vector that are updated together: they and their moments stay in a core's cache.
CHUNK = 1 << 16


def dense_chunks(size: int, tables: Sequence[Touched]) -> list[slice]:
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
