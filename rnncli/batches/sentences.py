"""Windows of ids, in the order in which a model reads them.

The input of every position is the id before it in the text, and `<end>` before the first: where each line ends in an
`<end>`, that is also what a sentence begins with. So a batch is known by the positions of its targets.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rnncli.batches.batch import Batches, Indices, Pool, Positions
from rnncli.system.randomness import stream
from rnncli.text.corpus import Ids

# Sentences. What is shuffled as a whole, a pool, is small enough to be in memory whatever the text, and large enough
# that sentences of one length fill many a batch. Its chunks are what is read in one go, from a disk perhaps.
POOL, CHUNK = 65_536, 256


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

    def _pools(self, epoch: int) -> Iterator[Pool]:
        chunks, pools = np.arange(self._chunks), self._pool_count
        if self._seed is not None and pools > 1:  # one pool is shuffled as a whole
            chunks = _permutation(stream(self._seed, "order", epoch), self._chunks)
        for number in range(pools):
            some = chunks[self._chunks * number // pools : self._chunks * (number + 1) // pools]
            yield self._pool(some, None if self._seed is None else stream(self._seed, "order", epoch, number))

    def _pool(self, chunks: Indices, rng: np.random.Generator | None) -> Pool:
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
        return Pool.of(starts[order], lengths[order], edges, read, self._bptt)

    def _check_ends(self, ends: Positions) -> None:
        if (self._ids[ends - 1] != self._end_id).any():
            raise ValueError("a line of this text does not end in <end>: it was read as a stream")


def _random(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint64]:
    """The bits of the stream themselves, the same in every version of NumPy: what it makes of them may change."""
    return rng.bit_generator.random_raw(count)


def _permutation(rng: np.random.Generator, count: int) -> Indices:
    return np.argsort(_random(rng, count), kind="stable")
