"""Batches of a text read as one stream: parallel columns whose state is carried from window to window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnncli.batches.batch import Batches, Pool
from rnncli.system.arrays import Ids


class StreamBatches(Batches):
    """A text as one long sequence, cut into B columns that are read in parallel, with the state carried.

    ids: (N,), the whole text. The first N % B columns are one longer than the rest, so that no word is dropped. The
    first column starts from `<end>`, each other one from the word before it in the text. For evaluation, use one
    column: the result then does not depend on the batch size.

    Raises ValueError if N < B.
    """

    def __init__(self, ids: Ids, end_id: int, batch_size: int, bptt: int) -> None:
        if len(ids) < batch_size:
            raise ValueError(f"{len(ids)} words for {batch_size} columns")
        super().__init__(ids, end_id, batch_size, bptt)
        shortest, longer = divmod(len(ids), batch_size)
        columns = np.arange(batch_size + 1)
        starts = columns * shortest + np.minimum(columns, longer)
        self._pool = Pool.of(starts[:-1], np.diff(starts), np.array([0, batch_size]), np.zeros(1, np.intp), bptt)

    @property
    def largest_window(self) -> tuple[int, int]:
        return min(self._bptt, int(self._pool.lengths[0])), self._batch_size

    @property
    def order_bytes(self) -> int:
        return 0

    def _pools(self, epoch: int) -> Iterator[Pool]:
        yield self._pool
