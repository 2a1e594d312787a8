"""A file of word counts, read from disk at each use: a line `count word` for each word."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from pathlib import Path

import numpy as np

from rnncli.text.spool import PIECE, expect_whole, mapped


def write_counts(path: Path, counts: Mapping[str, int]) -> None:
    """Write a file for `StoredCounts`. Raises OSError."""
    with path.open("wb") as file:
        file.writelines(f"{n} {word}\n".encode() for word, n in counts.items())


class StoredCounts(Mapping[str, int]):
    """Counts of words that may be too many for memory.

    Iterate over them; a lookup by key reads the file up to that key. The file may be deleted meanwhile; one that is cut
    short raises TextError.
    """

    def __init__(self, path: Path) -> None:
        self._lines = mapped(path, np.uint8)  # the map stays valid if the file is deleted

    def __iter__(self) -> Iterator[str]:
        return (word for word, _ in self._pairs())

    def __getitem__(self, word: str) -> int:
        for each, n in self._pairs():
            if each == word:
                return n
        raise KeyError(word)

    def __len__(self) -> int:
        expect_whole(self._lines)
        return int(np.count_nonzero(self._lines == ord("\n")))

    def items(self) -> ItemsView[str, int]:
        return _Items(self)

    def _pairs(self) -> Iterator[tuple[str, int]]:
        rest = b""
        for at in range(0, len(self._lines), PIECE):
            expect_whole(self._lines)
            *lines, rest = (rest + self._lines[at : at + PIECE].tobytes()).split(b"\n")
            for line in lines:
                n, _, word = line.partition(b" ")
                yield word.decode(), int(n)


class _Items(ItemsView[str, int]):
    """The words with their counts, in one pass over the file."""

    _mapping: StoredCounts

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return self._mapping._pairs()
