"""Batches of sentences of similar length, shuffled in every epoch without a permutation of the whole text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rnncli.batches.batch import Batches, Indices, Offsets, Pool
from rnncli.system.arrays import Ids
from rnncli.system.randomness import stream
from rnncli.text.spool import expect_whole

# Sentences. A pool is shuffled as a whole: small enough to fit in memory for any text, large enough that sentences of
# one length fill many batches. A chunk is read in one go, possibly from disk.
POOL, CHUNK = 65_536, 256


class SentenceBatches(Batches):
    """B sentences of about the same length in parallel, each from a fresh state.

    ids: (N,), the whole text, each sentence with its `<end>`; line_starts: (sentences + 1,) int64, the
    start of each, then N. Both may be mapped from files. seed: shuffles the sentences in every epoch; None, for
    evaluation, keeps their order.

    The order of an epoch: chunks of about `chunk` consecutive sentences are shuffled (`stream(seed, "order", epoch)`)
    and divided among pools of at most `pool` sentences (or one chunk), all of about the same size. The sentences of a
    pool are sorted by length, those of equal length in random order, and cut into groups of B, which are then shuffled
    (`stream(seed, "order", epoch, pool)`). So a text of at most one pool is shuffled as a whole, and in a longer text
    the sentences of a batch come from hundreds of places. The order depends only on the raw bits of the random stream,
    not on other NumPy code, so that an epoch can be resumed under another version of NumPy.

    Each epoch has every sentence once. The size of every chunk but the last is a multiple of B, so at most one group of
    an epoch, at a random place in its pool, is smaller than B. For evaluation, chunks stay in text order, and the
    groups of a pool are sorted by length.

    Raises ValueError for a text whose lines do not end in `<end>`: at once if one of the first lines lacks it,
    otherwise when that line is read.
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
        self._line_starts: Offsets = np.asarray(line_starts)
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
        # Per sentence: its number, start and end, a random number and the order; start and length, sorted, of this
        # pool and the previous one. Per chunk: a random number, its place, a copy.
        return 80 * min(self._chunk * -(-self._chunks // self._pool_count), self._sentences) + 24 * self._chunks

    def _pools(self, epoch: int) -> Iterator[Pool]:
        chunks, pools = np.arange(self._chunks), self._pool_count
        if self._seed is not None and pools > 1:  # a single pool is shuffled as a whole
            chunks = _permutation(stream(self._seed, "order", epoch), self._chunks)
        for number in range(pools):
            some = chunks[self._chunks * number // pools : self._chunks * (number + 1) // pools]
            yield self._pool(some, None if self._seed is None else stream(self._seed, "order", epoch, number))

    def _pool(self, chunks: Indices, rng: np.random.Generator | None) -> Pool:
        """The sentences of some chunks; shuffled if `rng` is given, else sorted by length."""
        sentences = (chunks[:, None] * self._chunk + np.arange(self._chunk)).reshape(-1)
        sentences = sentences[sentences < self._sentences]  # the last chunk may be shorter
        expect_whole(self._line_starts)
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
            # Draw which group is smaller than B: otherwise it would hold the longest sentences in every epoch.
            edges[1 + int(_random(rng, groups).argmin()) : groups] -= -len(sentences) % B
        return Pool.of(starts[order], lengths[order], edges, read, self._bptt)

    def _check_ends(self, ends: Offsets) -> None:
        expect_whole(self._ids)
        if (self._ids[ends - 1] != self._end_id).any():
            raise ValueError("a line of this text does not end in <end>: the text was encoded as a stream")


def _random(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint64]:
    """Raw bits of the stream: the same in every version of NumPy, unlike its distributions."""
    return rng.bit_generator.random_raw(count)


def _permutation(rng: np.random.Generator, count: int) -> Indices:
    return np.argsort(_random(rng, count), kind="stable")
