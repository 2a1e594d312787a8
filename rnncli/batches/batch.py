"""Batches: (T, B) windows of ids, in the order in which a model reads them.

The input at a position is the id before it in the text, and `<end>` at position 0. Where each line ends in `<end>`,
every sentence therefore begins from `<end>` too. So the positions of its targets determine a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnncli.system.arrays import Ids
from rnncli.text.spool import expect_whole

Indices = npt.NDArray[np.intp]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """One step: a window of T positions in each of B columns.

    inputs, targets: (T, B) ids. mask: (T, B), True where a position is real; None if all are. Padding is at the end
    of a column and holds `<end>`.
    positions: (T, B), index of each target in the ids of the text; padding repeats the last index of its column.
    fresh: the state starts at zero; otherwise it is carried over from the previous batch.
    words: number of real positions. epoch: number of the pass over the text. index: of the step in that epoch.
    """

    inputs: Indices
    targets: Indices
    mask: npt.NDArray[np.bool_] | None
    positions: Indices
    fresh: bool
    words: int
    epoch: int
    index: int


@dataclass(frozen=True, eq=False)
class Pool:
    """Columns of a text that are ordered together, cut into groups; the columns of a group are read in parallel.

    starts, lengths: (n,), of the columns in the text. edges: (G + 1,): group g is columns edges[g] to edges[g + 1] - 1.
    order: (G,), the order in which groups are read. ends: (G,), in that order: windows up to the end of each group.
    """

    starts: Offsets
    lengths: Offsets
    edges: Indices
    order: Indices
    ends: Offsets

    @classmethod
    def of(cls, starts: Offsets, lengths: Offsets, edges: Indices, order: Indices, bptt: int) -> Pool:
        longest = np.maximum.reduceat(lengths, edges[:-1])[order]
        return cls(starts, lengths, edges, order, np.cumsum(-(-longest // bptt)))

    @property
    def steps(self) -> int:
        """Number of windows in all its groups."""
        return int(self.ends[-1])

    def find(self, step: int) -> tuple[Offsets, Offsets, int]:
        """Starts and lengths, (B,), of the group that a step of this pool reads, and the number of the window in it."""
        place = int(np.searchsorted(self.ends, step, side="right"))
        group = int(self.order[place])
        columns = slice(int(self.edges[group]), int(self.edges[group + 1]))
        return self.starts[columns], self.lengths[columns], step - int(self.ends[place - 1]) if place else step


class Batches(ABC):
    """The batches of a text, epoch by epoch, from any step on.

    A text is cut into columns, contiguous pieces of it. A group of columns is read in parallel, in windows of at most
    `bptt` positions: the first window is fresh, the others carry the state.

    ids: (N,), the whole text, in memory or mapped from a file. From a mapped file, only the ids of one batch are read
    at a time; no array of the size of the text is allocated. A file that is cut short meanwhile raises TextError.
    """

    def __init__(self, ids: Ids, end_id: int, batch_size: int, bptt: int) -> None:
        # The same memory as a plain array: np.memmap adds Python overhead to the result of every gather.
        self._ids: Ids = np.asarray(ids)
        self._end_id, self._batch_size, self._bptt = end_id, batch_size, bptt

    @property
    def words(self) -> int:
        """Number of positions that an epoch predicts: all of the text."""
        return len(self._ids)

    @property
    @abstractmethod
    def largest_window(self) -> tuple[int, int]:
        """Upper bound on the time steps and columns, (T, B), of a batch."""

    @property
    @abstractmethod
    def order_bytes(self) -> int:
        """Approximate peak memory, in bytes, of the order of an epoch while batches are made."""

    def steps(self, epoch: int) -> int:
        """Number of batches in an epoch; for sentences it depends on which long ones share a group."""
        return sum(pool.steps for pool in self._pools(epoch))

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from index `start`; earlier ones are not made."""
        before = 0  # steps of the earlier pools
        for pool in self._pools(number):
            for step in range(max(start - before, 0), pool.steps):
                yield self._batch(*pool.find(step), number, before + step)
            before += pool.steps

    def has_place(self, epoch: int, index: int, words: int, columns: int) -> bool:
        """Whether an epoch can continue at batch `index`, after `words` words, with a state of `columns` columns."""
        batch = next(self.epoch(epoch, index), None)
        if batch is None:
            return words == self.words and index > 0
        return words < self.words and (batch.fresh or batch.inputs.shape[1] == columns)

    @abstractmethod
    def _pools(self, epoch: int) -> Iterator[Pool]:
        """All columns of the text, one pool at a time, in reading order."""

    def _batch(self, starts: Offsets, lengths: Offsets, window: int, epoch: int, index: int) -> Batch:
        first = window * self._bptt
        rows = np.arange(first, min(first + self._bptt, int(lengths.max())))[:, None]  # (T, 1)
        mask = rows < lengths  # (T, B)
        positions = starts + np.minimum(rows, lengths - 1)  # (T, B)
        expect_whole(self._ids)
        # Position 0 has no id before it: index -1 reads the last id of the text, replaced on the next line.
        inputs = self._ids[positions - 1].astype(np.intp)
        inputs[positions == 0] = self._end_id
        targets = self._ids[positions].astype(np.intp)
        whole = bool(mask.all())
        if not whole:
            inputs[~mask] = targets[~mask] = self._end_id
        words = mask.size if whole else int(np.count_nonzero(mask))
        return Batch(inputs, targets, None if whole else mask, positions, first == 0, words, epoch, index)
