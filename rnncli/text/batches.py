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

from rnncli.randomness import stream
from rnncli.text.corpus import Ids

Indices = npt.NDArray[np.intp]

POOL = 50  # batches; of a pool, sentences of about equal length come together, and little is padded


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


class Batches(ABC):
    """The batches of a text, epoch by epoch, from any step on.

    A text is a number of columns, contiguous pieces of it. Some of them at a time, a group, are read side by side, in
    windows of at most `bptt` positions: the first is fresh, the others carry the state on.
    """

    def __init__(self, ids: Ids, end_id: int, edges: npt.NDArray[np.int64], batch_size: int, bptt: int) -> None:
        self._ids, self._end_id, self._batch_size, self._bptt = ids, end_id, batch_size, bptt
        self._starts, self._lengths = edges[:-1], np.diff(edges)  # of the columns

    @property
    def words(self) -> int:
        """How many positions an epoch predicts: every one of the text."""
        return len(self._ids)

    @property
    def largest_window(self) -> tuple[int, int]:
        """At most so many time steps and columns, (T, B), has a batch."""
        return min(self._bptt, int(self._lengths.max())), min(self._batch_size, len(self._lengths))

    def steps(self, epoch: int) -> int:
        """How many batches an epoch has; with sentences, it depends on which long ones fell together."""
        return int(self._ends(self._groups(epoch))[-1])

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the one with index `start` on; those before it are not made."""
        groups = self._groups(number)
        ends = self._ends(groups)
        for index in range(start, int(ends[-1])):
            place = int(np.searchsorted(ends, index, side="right"))
            window = index - int(ends[place - 1]) if place else index
            yield self._batch(groups[place], window, number, index)

    @abstractmethod
    def _groups(self, epoch: int) -> list[Indices]:
        """The columns of each group, in the order of the groups."""

    def _ends(self, groups: list[Indices]) -> npt.NDArray[np.int64]:
        """How many windows there are up to the end of each group."""
        longest = np.array([self._lengths[group].max() for group in groups])
        return np.cumsum(-(-longest // self._bptt))

    def _batch(self, group: Indices, window: int, epoch: int, index: int) -> Batch:
        starts, lengths = self._starts[group], self._lengths[group]  # (B,)
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


class StreamBatches(Batches):
    """A text as one long sequence, cut into B columns that are read side by side, the state carried along.

    ids: (N,), the whole text. The first N % B columns are one longer than the rest, so that nothing is dropped. The
    first column starts from `<end>`, each other one from the word before it in the text. To evaluate, take one column:
    the figure then does not depend on the batch size.

    Raises ValueError where N < B.
    """

    def __init__(self, ids: Ids, end_id: int, batch_size: int, bptt: int) -> None:
        if len(ids) < batch_size:
            raise ValueError(f"{len(ids)} words for {batch_size} columns")
        shortest, longer = divmod(len(ids), batch_size)
        columns = np.arange(batch_size + 1)
        super().__init__(ids, end_id, columns * shortest + np.minimum(columns, longer), batch_size, bptt)

    def _groups(self, epoch: int) -> list[Indices]:
        return [np.arange(len(self._starts))]


class SentenceBatches(Batches):
    """Sentences side by side, B at a time, each from a fresh state.

    ids: (N,), the whole text, each sentence with its `<end>`; line_starts: (sentences + 1,), where each begins, and N.
    seed: shuffles the sentences anew in every epoch; None, to evaluate, takes them by length. Each epoch has every
    sentence once; the last B, or fewer, make a batch too.

    Raises ValueError for a text whose lines have no ends.
    """

    def __init__(
        self, ids: Ids, line_starts: npt.NDArray[np.int64], end_id: int, batch_size: int, bptt: int, seed: int | None
    ) -> None:
        if (ids[line_starts[1:] - 1] != end_id).any():
            raise ValueError("a line of this text does not end in <end>: it was read as a stream")
        super().__init__(ids, end_id, line_starts, batch_size, bptt)
        self._seed = seed

    def _groups(self, epoch: int) -> list[Indices]:
        sentences = len(self._lengths)
        cuts = np.arange(self._batch_size, sentences, self._batch_size)
        if self._seed is None:
            return np.split(np.argsort(self._lengths, kind="stable"), cuts)
        rng = stream(self._seed, "order", epoch)
        order = rng.permutation(sentences)
        pool = np.arange(sentences) // (POOL * self._batch_size)
        groups = np.split(order[np.lexsort((self._lengths[order], pool))], cuts)
        return [groups[i] for i in rng.permutation(len(groups))]
