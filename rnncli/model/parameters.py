"""Parameters and gradients: one flat vector, and a named view of it for each tensor.

An optimizer works on the vector and never asks what is in it; the cells and output layers work on the views and never
ask where they lie. A gradient of a table that is read by rows (an embedding, the input weights under one-hot vectors)
touches few rows: `write_rows_` writes them, and `Gradients` remembers which, so that nobody has to look at the others.
`glorot_`, `uniform_` and `orthogonal_` are how weights start.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Shapes = dict[str, tuple[int, ...]]


class Parameters:
    """Named tensors that lie one after another in one flat vector.

    `vector` is (size,); `parameters["layer0.Waa"]` is a view of it with the shape given for that name, so that a
    change of either is a change of both. Gradients and the moments of an optimizer have the same layout
    (`zeros_like`).
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike = np.float32, vector: Array | None = None
    ) -> None:
        """Zeros of a dtype, or the names of what stands in `vector`."""
        self.shapes: Shapes = dict(shapes)
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.vector: Array = np.zeros(sum(sizes), dtype) if vector is None else vector
        self._views: dict[str, Array] = {}
        self._starts: dict[str, int] = {}
        start = 0
        for (name, shape), size in zip(self.shapes.items(), sizes, strict=True):
            self._views[name], self._starts[name] = self.vector[start : start + size].reshape(shape), start
            start += size

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def items(self) -> Iterator[tuple[str, Array]]:
        return iter(self._views.items())

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.vector.dtype

    def section(self, prefix: str) -> dict[str, Array]:
        """The views whose names begin with `prefix.`, by the rest of their names: `section("layer0")["Waa"]`."""
        return {name[len(prefix) + 1 :]: view for name, view in self.items() if name.startswith(prefix + ".")}

    def zeros_like(self) -> Parameters:
        """Zeros of the same names, shapes and dtype."""
        return Parameters(self.shapes, self.dtype)

    def astype(self, dtype: DTypeLike) -> Parameters:
        """A copy in another dtype; a complex one is what complex-step derivatives start from."""
        other = Parameters(self.shapes, dtype)
        other.vector[:] = self.vector
        return other


@dataclass(frozen=True)
class Touched:
    """A table in a flat gradient that is zero but for some rows: `start` of the table, its shape, the rows' numbers.

    `rows` are sorted, each once.
    """

    start: int
    shape: tuple[int, ...]
    rows: Array

    @property
    def row_size(self) -> int:
        """Numbers in a row."""
        return math.prod(self.shape[1:])

    @property
    def stop(self) -> int:
        return self.start + math.prod(self.shape)

    def of(self, vector: Array) -> Array:
        """The table (rows, row_size) as a view of a vector of this layout."""
        return vector[self.start : self.stop].reshape(self.shape[0], -1)


class Gradients(Parameters):
    """Gradients of parameters, in their layout, and which rows of a table may be other than zero.

    `vector` is whole, the zeros included. A table that was written by rows once must be written so ever after.
    """

    def __init__(self, like: Parameters) -> None:
        super().__init__(like.shapes, like.dtype)
        self._rows: dict[str, Array] = {}

    def section(self, prefix: str) -> Section:
        return Section(self, prefix, super().section(prefix))

    def write_rows_(self, name: str, ids: Array, rows: Array) -> None:
        """Make the table zero but for the sums of rows[k] at ids[k]."""
        table, before = self[name], self._rows.get(name)
        table[slice(None) if before is None else before] = 0
        self._rows[name] = add_rows_(table, ids, rows)

    def touched(self) -> list[Touched]:
        """The tables that were last written by rows, in the order of the vector."""
        names = [name for name in self if name in self._rows]
        return [Touched(self._starts[name], self.shapes[name], self._rows[name]) for name in names]


class Section(dict[str, Array]):
    """The gradients of one section by name, which know whose they are."""

    def __init__(self, gradients: Gradients, prefix: str, views: dict[str, Array]) -> None:
        super().__init__(views)
        self.gradients, self.prefix = gradients, prefix


def write_rows_(g: dict[str, Array], name: str, ids: Array, rows: Array) -> None:
    """Make the table g[name] (V, ...) zero but for the sums of rows[k] at ids[k]; ids (N,), rows (N, ...)."""
    if isinstance(g, Section):
        g.gradients.write_rows_(f"{g.prefix}.{name}", ids, rows)
    else:
        g[name][...] = 0
        add_rows_(g[name], ids, rows)


def add_rows_(table: Array, ids: Array, rows: Array) -> Array:
    """Add rows[k] to table[ids[k]] for every k, equal ids summed in the order of k; return the rows touched, sorted.

    table (V, ...), ids (N,) integers, rows (N, ...). The same sum as `np.add.at(table, ids, rows)`: rows are sorted by
    id, added up in runs, and each row of the table is touched once.
    """
    if len(ids) == 0:
        return ids
    order = np.argsort(ids, kind="stable")
    in_order = ids[order]
    starts = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1])))
    touched: Array = in_order[starts]
    table[touched] += np.add.reduceat(rows[order], starts, axis=0)
    return touched
