"""Windows of ids, in the order in which a model reads them.

The input of every position is the id before it in the text, and `<end>` before the first: where each line ends in an
`<end>`, that is also what a sentence begins with. So a batch is known by the positions of its targets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnncli.text.corpus import Ids

Indices = npt.NDArray[np.intp]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """One step: a window of T positions in each of B columns.

    inputs, targets: (T, B) ids. mask: (T, B), True where a position is real; None where all are. What is padded stands
    at the end of a column, as `<end>`.
    positions: (T, B), where in the ids of the text each target stands; a pad repeats the last of its column.
    fresh: the state starts at zero; else it is carried over from the batch before.
    words: how many positions are real. epoch, index: of the pass over the text, and of the step in it.
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
    """Columns of a text that are known at one time, cut into groups: each is read side by side.

    starts, lengths: (n,), of the columns in the text. edges: (G + 1,): group g has those from edges[g] to edges[g + 1].
    order: (G,), in which the groups are read. ends: (G,), in that order: how many windows up to the end of each.
    """

    starts: Positions
    lengths: Positions
    edges: Indices
    order: Indices
    ends: Positions

    @classmethod
    def of(cls, starts: Positions, lengths: Positions, edges: Indices, order: Indices, bptt: int) -> Pool:
        longest = np.maximum.reduceat(lengths, edges[:-1])[order]
        return cls(starts, lengths, edges, order, np.cumsum(-(-longest // bptt)))

    @property
    def steps(self) -> int:
        """How many windows all its groups have."""
        return int(self.ends[-1])

    def find(self, step: int) -> tuple[Positions, Positions, int]:
        """The starts and lengths of the group that is read in a step of this pool, (B,), and which of its windows."""
        place = int(np.searchsorted(self.ends, step, side="right"))
        group = int(self.order[place])
        columns = slice(int(self.edges[group]), int(self.edges[group + 1]))
        return self.starts[columns], self.lengths[columns], step - int(self.ends[place - 1]) if place else step


class Batches(ABC):
    """The batches of a text, epoch by epoch, from any step on.

    A text is a number of columns, contiguous pieces of it. Some of them at a time, a group, are read side by side, in
    windows of at most `bptt` positions: the first is fresh, the others carry the state on.

    ids: (N,), the whole text, in memory or mapped from a file: of a mapped one, what a batch needs is read when it is
    made, and nothing of the size of the text is ever held.
    """

    def __init__(self, ids: Ids, end_id: int, batch_size: int, bptt: int) -> None:
        # The same memory, without the class np.memmap, which looks into the result of every gather.
        self._ids: Ids = np.asarray(ids)
        self._end_id, self._batch_size, self._bptt = end_id, batch_size, bptt

    @property
    def words(self) -> int:
        """How many positions an epoch predicts: every one of the text."""
        return len(self._ids)

    @property
    @abstractmethod
    def largest_window(self) -> tuple[int, int]:
        """At most so many time steps and columns, (T, B), has a batch."""

    @property
    @abstractmethod
    def order_bytes(self) -> int:
        """About how much memory the order of an epoch takes, at most, while batches are made."""

    def steps(self, epoch: int) -> int:
        """How many batches an epoch has; with sentences, it depends on which long ones fell together."""
        return sum(pool.steps for pool in self._pools(epoch))

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the one with index `start` on; those before it are not made."""
        before = 0  # steps of the pools before this one
        for pool in self._pools(number):
            for step in range(max(start - before, 0), pool.steps):
                yield self._batch(*pool.find(step), number, before + step)
            before += pool.steps

    def has_place(self, epoch: int, index: int, words: int, columns: int) -> bool:
        """Whether so many words are read before the batch `index`, and so many columns carry their state into it."""
        batch = next(self.epoch(epoch, index), None)
        if batch is None:
            return words == self.words and index > 0
        return words < self.words and (batch.fresh or batch.inputs.shape[1] == columns)

    @abstractmethod
    def _pools(self, epoch: int) -> Iterator[Pool]:
        """All columns of the text, a pool at a time, in the order in which they are read."""

    def _batch(self, starts: Positions, lengths: Positions, window: int, epoch: int, index: int) -> Batch:
        first = window * self._bptt
        rows = np.arange(first, min(first + self._bptt, int(lengths.max())))[:, None]  # (T, 1)
        mask = rows < lengths  # (T, B)
        positions = starts + np.minimum(rows, lengths - 1)  # (T, B)
        # Position 0 has nothing before it: -1 takes the last id of the text, which is then replaced.
        inputs = self._ids[positions - 1].astype(np.intp)
        inputs[positions == 0] = self._end_id
        targets = self._ids[positions].astype(np.intp)
        whole = bool(mask.all())
        if not whole:
            inputs[~mask] = targets[~mask] = self._end_id
        words = mask.size if whole else int(np.count_nonzero(mask))
        return Batch(inputs, targets, None if whole else mask, positions, first == 0, words, epoch, index)
