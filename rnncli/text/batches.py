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
Positions = npt.NDArray[np.int64]

# Sentences. What is shuffled as a whole, a pool, is small enough to be in memory whatever the text, and large enough
# that sentences of one length fill many a batch. Its chunks are what is read in one go, from a disk perhaps.
POOL, CHUNK = 65_536, 256


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
class _Pool:
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
    def of(cls, starts: Positions, lengths: Positions, edges: Indices, order: Indices, bptt: int) -> _Pool:
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
    def _pools(self, epoch: int) -> Iterator[_Pool]:
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
        super().__init__(ids, end_id, batch_size, bptt)
        shortest, longer = divmod(len(ids), batch_size)
        columns = np.arange(batch_size + 1)
        starts = columns * shortest + np.minimum(columns, longer)
        self._pool = _Pool.of(starts[:-1], np.diff(starts), np.array([0, batch_size]), np.zeros(1, np.intp), bptt)

    @property
    def largest_window(self) -> tuple[int, int]:
        return min(self._bptt, int(self._pool.lengths[0])), self._batch_size

    @property
    def order_bytes(self) -> int:
        return 0

    def _pools(self, epoch: int) -> Iterator[_Pool]:
        yield self._pool


class SentenceBatches(Batches):
    """Sentences side by side, B at a time and of about one length, each from a fresh state.

    ids: (N,), the whole text, each sentence with its `<end>`; line_starts: (sentences + 1,) int64, where each begins,
    and N. Both may be mapped from files. seed: shuffles the sentences anew in every epoch; None, to evaluate, does not.

    The order of an epoch: chunks of about `chunk` consecutive sentences are shuffled (`stream(seed, "order", epoch)`)
    and dealt out to pools of at most `pool` sentences (or one chunk), all of about one size. In each pool the
    sentences of all its chunks are sorted by length, those of equal length shuffled, and cut into groups of B, which
    are shuffled in turn (`stream(seed, "order", epoch, pool)`). So a text of one pool or less is shuffled as a whole,
    and in a longer one the sentences of a batch come from hundreds of places all over it. The bits of the random
    stream alone decide, no other code of NumPy's: an epoch can be gone on with under another version of it.

    Each epoch has every sentence once. A chunk is a multiple of B, all but the last: so one group of an epoch, the
    place of which in its pool is drawn too, may be smaller than B. To evaluate, the chunks are taken as they stand in
    the text, and the groups of a pool by length.

    Raises ValueError for a text whose lines have no ends, where these are among the first, else as they are read.
    """

    def __init__(
        self,
        ids: Ids,
        line_starts: npt.NDArray[np.int64],
        end_id: int,
        batch_size: int,
        bptt: int,
        seed: int | None,
        *,
        pool: int = POOL,
        chunk: int = CHUNK,
    ) -> None:
        super().__init__(ids, end_id, batch_size, bptt)
        self._line_starts: Positions = np.asarray(line_starts)
        self._sentences, self._seed = len(line_starts) - 1, seed
        self._chunk = min(batch_size * -(-chunk // batch_size), self._sentences)
        self._chunks = -(-self._sentences // self._chunk)
        self._pool_count = -(-self._chunks // max(1, pool // self._chunk))
        self._check_ends(self._line_starts[1 : self._chunk + 1])

    @property
    def largest_window(self) -> tuple[int, int]:
        longest = 0
        for first in range(0, self._sentences, POOL):
            longest = max(longest, int(np.diff(self._line_starts[first : first + POOL + 1]).max()))
            if longest >= self._bptt:
                break
        return min(self._bptt, longest), min(self._batch_size, self._sentences)

    @property
    def order_bytes(self) -> int:
        # Of a sentence: its number, where it starts and ends, a random number and the order; where it starts and its
        # length, in order, of this pool and the one before. Of a chunk: a random number, its place, a copy.
        return 80 * min(self._chunk * -(-self._chunks // self._pool_count), self._sentences) + 24 * self._chunks

    def _pools(self, epoch: int) -> Iterator[_Pool]:
        chunks, pools = np.arange(self._chunks), self._pool_count
        if self._seed is not None and pools > 1:  # one pool is shuffled as a whole
            chunks = _permutation(stream(self._seed, "order", epoch), self._chunks)
        for number in range(pools):
            some = chunks[self._chunks * number // pools : self._chunks * (number + 1) // pools]
            yield self._pool(some, None if self._seed is None else stream(self._seed, "order", epoch, number))

    def _pool(self, chunks: Indices, rng: np.random.Generator | None) -> _Pool:
        """The sentences of some chunks, shuffled where there are random numbers."""
        sentences = (chunks[:, None] * self._chunk + np.arange(self._chunk)).reshape(-1)
        sentences = sentences[sentences < self._sentences]  # the last chunk may be shorter
        starts, ends = self._line_starts[sentences], self._line_starts[sentences + 1]
        self._check_ends(ends)
        lengths, B = ends - starts, self._batch_size
        groups = -(-len(sentences) // B)
        edges = np.arange(groups + 1) * B
        edges[groups] = len(sentences)
        if rng is None:
            order, read = np.argsort(lengths, kind="stable"), np.arange(groups)
        else:
            order, read = np.lexsort((_random(rng, len(sentences)), lengths)), _permutation(rng, groups)
            # Any group may be the smaller one: else the longest sentences would be in it in every epoch.
            edges[1 + int(_random(rng, groups).argmin()) : groups] -= -len(sentences) % B
        return _Pool.of(starts[order], lengths[order], edges, read, self._bptt)

    def _check_ends(self, ends: Positions) -> None:
        if (self._ids[ends - 1] != self._end_id).any():
            raise ValueError("a line of this text does not end in <end>: it was read as a stream")


def _random(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint64]:
    """The bits of the stream themselves, the same in every version of NumPy: what it makes of them may change."""
    return rng.bit_generator.random_raw(count)


def _permutation(rng: np.random.Generator, count: int) -> Indices:
    return np.argsort(_random(rng, count), kind="stable")
