"""Parameters and gradients: one flat vector, and a named view of it for each tensor.

An optimizer works on the vector without knowing its tensors; cells and output layers work on the views. The gradient of
a table that is read by rows (an embedding, the input weights of one-hot vectors) is non-zero in few rows:
`write_rows_` writes them, and `Gradients` records which, so that no other row is cleared or read.

Two names may share one tensor (an alias, such as an output matrix tied to the embedding): it is drawn, stored, counted
and updated once, and the gradients of all its uses are added.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnncli.system.arrays import Array, Shapes, Tensors

CHUNK = 1 << 16  # elements of the vector that are processed together, so that they stay in a core's cache


class Parameters:
    """Named tensors, one after another in one flat vector.

    `vector` is (size,); `parameters["layer0.Waa"]` is a view of it with the shape of that name, so that a change
    to either changes both. `aliases` maps further names to the tensors that they share; only owners are in
    `shapes`. Gradients and the moments of an optimizer have the same layout.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: DTypeLike = np.float32,
        vector: Array | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """Zeros of a dtype, or views of an existing `vector`."""
        self.shapes: Shapes = dict(shapes)
        self.aliases = dict(aliases or {})
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.vector: Array = np.zeros(sum(sizes), dtype) if vector is None else vector
        self._views: dict[str, Array] = {}
        self._starts: dict[str, int] = {}
        start = 0
        for (name, shape), size in zip(self.shapes.items(), sizes, strict=True):
            self._views[name], self._starts[name] = self.vector[start : start + size].reshape(shape), start
            start += size
        self._shared = self._share()
        self._sections: dict[str, Tensors] = {}

    def _share(self) -> dict[str, Array]:
        """The array of each alias: the view of its owner."""
        return {alias: self._views[owner] for alias, owner in self.aliases.items()}

    def __getitem__(self, name: str) -> Array:
        return self._views[name] if name in self._views else self._shared[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def items(self) -> Iterator[tuple[str, Array]]:
        """Each tensor once, under its owner's name."""
        return iter(self._views.items())

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.vector.dtype

    def section(self, prefix: str) -> Tensors:
        """The tensors whose names begin with `prefix.`, by the rest of their names: `section("layer0")["Waa"]`."""
        if prefix not in self._sections:
            tensors, start = self._views | self._shared, f"{prefix}."
            found = {name.removeprefix(start): view for name, view in tensors.items() if name.startswith(start)}
            self._sections[prefix] = self._section(prefix, found)
        return self._sections[prefix]

    def _section(self, prefix: str, views: Tensors) -> Tensors:
        return views

    def zeros_like(self) -> Parameters:
        """Zeros of the same names, shapes and dtype."""
        return Parameters(self.shapes, self.dtype, aliases=self.aliases)

    def astype(self, dtype: DTypeLike) -> Parameters:
        """A copy in another dtype, such as complex for complex-step derivatives."""
        other = Parameters(self.shapes, dtype, aliases=self.aliases)
        other.vector[:] = self.vector
        return other


@dataclass(frozen=True)
class Touched:
    """A table in a flat gradient that is zero except for some rows.

    start: index of the table in the vector. rows: indices of those rows, sorted, without duplicates.
    """

    start: int
    shape: tuple[int, ...]
    rows: Array

    @property
    def row_size(self) -> int:
        """Elements in a row."""
        return math.prod(self.shape[1:])

    @property
    def stop(self) -> int:
        return self.start + math.prod(self.shape)

    def of(self, vector: Array) -> Array:
        """The table (rows, row_size) as a view of a vector of this layout."""
        return vector[self.start : self.stop].reshape(self.shape[0], -1)


class Gradients(Parameters):
    """Gradients of parameters, in their layout, and the rows of each table that may be non-zero.

    `vector` is complete, zeros included. Every use of a tensor overwrites the gradient under the name it is used by; an
    alias has a separate array until `add_aliases_`. Once a table is written with `write_rows_`, always use it.
    """

    def __init__(self, like: Parameters) -> None:
        super().__init__(like.shapes, like.dtype, aliases=like.aliases)
        self._rows: dict[str, Array | None] = {}  # None: any row may be non-zero

    def _share(self) -> dict[str, Array]:
        return {alias: np.zeros_like(self._views[owner]) for alias, owner in self.aliases.items()}

    def section(self, prefix: str) -> Section:
        found = super().section(prefix)
        assert isinstance(found, Section)
        return found

    def _section(self, prefix: str, views: Tensors) -> Section:
        return Section(self, prefix, views)

    def write_rows_(self, name: str, ids: Array, rows: Array) -> None:
        """Set the table to zero except for the sums of rows[k] at ids[k]."""
        table, before = self[name], self._rows.get(name)
        table[slice(None) if before is None else before] = 0
        touched, sums = sum_rows(ids, rows)
        table[touched] = sums
        self._rows[name] = touched

    def add_aliases_(self) -> None:
        """Add the gradient of each alias to that of its owner; call once after every backward pass."""
        for alias, owner in self.aliases.items():
            rows, owned = self._rows.get(alias), self._rows.get(owner)
            if rows is None or owned is None:
                self[owner][...] += self[alias]
                if owner in self._rows:
                    self._rows[owner] = None
            else:
                self[owner][rows] += self[alias][rows]
                self._rows[owner] = np.union1d(owned, rows)

    def forget_rows_(self) -> None:
        """Assume any row may be non-zero: call after `vector` was changed as a whole, as in a sum over processes."""
        self._rows = dict.fromkeys(self._rows)

    def touched(self) -> list[Touched]:
        """The tables that are zero except for some rows, in the order of the vector."""
        found = [(name, rows) for name in self if (rows := self._rows.get(name)) is not None]
        return [Touched(self._starts[name], self.shapes[name], rows) for name, rows in found]


class Section(dict[str, Array]):
    """The gradients of one section by name, with a way to write a table by rows."""

    def __init__(self, gradients: Gradients, prefix: str, views: dict[str, Array]) -> None:
        super().__init__(views)
        self._gradients, self._prefix = gradients, prefix

    def write_rows_(self, name: str, ids: Array, rows: Array) -> None:
        """Set the table `name` (V, ...) to zero except for the sums of rows[k] at ids[k]; ids (N,), rows (N, ...)."""
        self._gradients.write_rows_(f"{self._prefix}.{name}", ids, rows)


def sum_rows(ids: Array, rows: Array) -> tuple[Array, Array]:
    """The distinct ids, sorted, and the sum of the rows of each: what `np.add.at` adds.

    ids (N,) integers, rows (N, ...). Rows are sorted by id; those of an id that occurs once are copied, the others are
    summed in runs, which is slower.
    """
    if len(ids) == 0:
        return ids, rows
    order = np.argsort(ids, kind="stable")
    in_order = ids[order]
    edges = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1], [True])))
    starts, lengths = edges[:-1], np.diff(edges)
    sums = rows[order[starts]]
    if (several := lengths > 1).any():
        runs = lengths[several]
        repeated = rows[order[np.repeat(several, lengths)]]
        sums[several] = np.add.reduceat(repeated, np.cumsum(runs) - runs, axis=0)
    return in_order[starts], sums


def dense_chunks(size: int, tables: Sequence[Touched], chunk: int = CHUNK) -> list[slice]:
    """Slices of at most `chunk` elements that cover the vector except for the tables."""
    edges = [0, *(edge for table in tables for edge in (table.start, table.stop)), size]
    spans = zip(edges[::2], edges[1::2], strict=True)
    return [slice(begin, min(begin + chunk, stop)) for start, stop in spans for begin in range(start, stop, chunk)]
