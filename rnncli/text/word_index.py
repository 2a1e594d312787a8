"""Assign a number to each distinct word of a text.

Words are looked up in bulk, in hash tables of NumPy arrays, with keys of 8 or 16 bytes; words of over 16 bytes are
rare, and in a dictionary. Several threads may number blocks of a text at once.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncli.text.tokenize_arrays import Positions, Tokens

Numbers = npt.NDArray[np.int32]
Keys = npt.NDArray[np.uint64]
"""(width, n): the bytes of each word, 8 to a number, padded with zeros. The first number of a key is never 0."""

WORD = 8  # bytes
WIDTHS = (1, 2)  # numbers in a key, one table for each; longer words are in the dictionary
# The high bits of these products depend on every bit of a key (Knuth, The Art of Computer Programming 3, 6.4).
MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93], np.uint64)
FIRST_BITS = 12
COUNTED = 1 << 20  # numbers that a `Tally` counts at a time
FULL = 0.5  # a table grows when this share of its slots is used
LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(WORD + 1)], np.uint64)


class Numbering:
    """Numbers from 0 on, in any order; `words[i]` is the word with number i."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._adding = threading.Lock()
        self._tables = [_Table(width) for width in WIDTHS]
        self._longer: dict[bytes, int] = {}

    def number(self, tokens: Tokens) -> Numbers:
        """The number of each token, (n,); a new word gets the next number. No token may contain a NUL."""
        lengths = tokens.ends - tokens.starts
        numbers = np.empty(len(lengths), np.int32)
        padded = np.frombuffer(tokens.data + bytes(2 * WORD + -len(tokens.data) % WORD), "<u8")
        for width, table in zip(WIDTHS, self._tables, strict=True):
            rows = np.flatnonzero((lengths > (width - 1) * WORD) & (lengths <= width * WORD))
            keys = _keys(padded, tokens.starts[rows], lengths[rows], width)
            found = table.find(keys)
            new = np.flatnonzero(found < 0)
            if len(new):
                with self._adding:
                    found[new] = self._add(table, keys[:, new], tokens, rows[new])
            numbers[rows] = found
        for row in np.flatnonzero(lengths > WIDTHS[-1] * WORD).tolist():
            numbers[row] = self._number_longer(tokens.data[tokens.starts[row] : tokens.ends[row]])
        return numbers

    def _add(self, table: _Table, keys: Keys, tokens: Tokens, rows: Positions) -> Numbers:
        numbers = table.find(keys)  # again, because another thread may have added them
        new = np.flatnonzero(numbers < 0)
        firsts, group = _distinct(keys[:, new])
        added = np.arange(len(self.words), len(self.words) + len(firsts), dtype=np.int32)
        at = rows[new[firsts]]
        spans = zip(tokens.starts[at].tolist(), tokens.ends[at].tolist(), strict=True)
        self.words.extend([tokens.data[start:end].decode() for start, end in spans])
        table.add(keys[:, new[firsts]], added)
        numbers[new] = added[group]
        return numbers

    def _number_longer(self, word: bytes) -> int:
        number = self._longer.get(word)
        if number is None:
            with self._adding:
                number = self._longer.setdefault(word, len(self.words))
                if number == len(self.words):
                    self.words.append(word.decode())
        return number


class Tally:
    """Counts how often each number of a numbering occurs in a text, in bulk."""

    def __init__(self, numbering: Numbering) -> None:
        self._numbering, self._counts = numbering, np.zeros(0, np.int64)
        self._uncounted: list[Numbers] = []

    def add(self, numbers: Numbers) -> None:
        self._uncounted.append(numbers)
        if sum(map(len, self._uncounted)) >= COUNTED:
            self._count()

    def counts(self) -> npt.NDArray[np.int64]:
        """The count of every number, (words,)."""
        if self._uncounted:
            self._count()
        return self._counts

    def _count(self) -> None:
        counts = np.bincount(np.concatenate(self._uncounted), minlength=len(self._numbering.words))
        counts[: len(self._counts)] += self._counts
        self._counts, self._uncounted = counts, []


class _Table:
    """A hash table with open addressing and linear probing. `find` needs no lock during an `add`."""

    def __init__(self, width: int) -> None:
        self._taken = 0
        self._slots = _Slots(width, FIRST_BITS)

    def find(self, keys: Keys) -> Numbers:
        """The number of each key, -1 if it is not in the table."""
        slots = self._slots  # `add` may replace them meanwhile
        at = slots.home(keys)
        stored = slots.keys[0].take(at)
        same = slots.same(at, stored, keys)
        numbers = slots.numbers.take(at)
        numbers[~same] = -1
        left = np.flatnonzero(~same & (stored != 0))
        at = at[left]
        while len(left):
            at = slots.next(at)
            stored = slots.keys[0].take(at)
            same = slots.same(at, stored, keys[:, left])
            numbers[left[same]] = slots.numbers.take(at[same])
            on = ~same & (stored != 0)
            left, at = left[on], at[on]
        return numbers

    def add(self, keys: Keys, numbers: Numbers) -> None:
        """Add distinct keys that are not in the table."""
        self._taken += len(numbers)
        if self._taken > FULL * self._slots.size:
            bits = self._slots.bits + 2
            while self._taken > FULL * (1 << bits):
                bits += 2
            larger = _Slots(len(keys), bits)
            old = np.flatnonzero(self._slots.keys[0])
            larger.place(self._slots.keys[:, old], self._slots.numbers[old])
            larger.place(keys, numbers)
            self._slots = larger
        else:
            self._slots.place(keys, numbers)


class _Slots:
    """The arrays of a table, of a fixed size."""

    def __init__(self, width: int, bits: int) -> None:
        self.bits, self.size = bits, 1 << bits
        self.keys: Keys = np.zeros((width, self.size), np.uint64)  # 0: free
        self.numbers: Numbers = np.empty(self.size, np.int32)

    def home(self, keys: Keys) -> Positions:
        """The first slot to try for each key."""
        mixed = keys[0] * MULTIPLIERS[0]
        for i in range(1, len(keys)):
            mixed += keys[i] * MULTIPLIERS[i]
        at: Positions = (mixed >> np.uint64(64 - self.bits)).astype(np.intp)
        return at

    def next(self, at: Positions) -> Positions:
        return (at + 1) & (self.size - 1)

    def same(self, at: Positions, stored: npt.NDArray[np.uint64], keys: Keys) -> npt.NDArray[np.bool_]:
        """Whether the slots `at` hold these keys. stored: the first number of the key in each slot."""
        same: npt.NDArray[np.bool_] = stored == keys[0]
        for i in range(1, len(keys)):
            same &= self.keys[i].take(at) == keys[i]
        return same

    def place(self, keys: Keys, numbers: Numbers) -> None:
        """Insert distinct keys that are not in the slots."""
        left, at = np.arange(len(numbers)), self.home(keys)
        while len(left):
            free = self.keys[0].take(at) == 0
            rows, slots = left[free], at[free]
            self.numbers[slots] = numbers[rows]  # of several keys for one slot, the last wins
            won = self.numbers.take(slots) == numbers[rows]
            # The first number of a key last: once it is set, a concurrent `find` treats the slot as complete.
            for i in reversed(range(len(keys))):
                self.keys[i][slots[won]] = keys[i][rows[won]]
            left = np.concatenate([left[~free], rows[~won]])
            at = self.next(np.concatenate([at[~free], slots[~won]]))


def _keys(padded: npt.NDArray[np.uint64], starts: Positions, lengths: Positions, width: int) -> Keys:
    """The bytes of each word as `width` numbers."""
    keys = np.empty((width, len(starts)), np.uint64)
    shift = ((starts & 7) << 3).astype(np.uint64)
    back = np.uint64(64) - shift  # a shift by 64 gives 0
    index = starts >> 3
    for i, key in enumerate(keys):
        np.right_shift(padded.take(index + i), shift, out=key)
        key |= padded.take(index + (i + 1)) << back
        key &= LOW_BYTES.take(lengths - i * WORD, mode="clip")
    return keys


def _distinct(keys: Keys) -> tuple[Positions, npt.NDArray[Any]]:
    """The index of the first occurrence of each distinct key, and for each key the index of its distinct key."""
    order = np.lexsort(keys)
    ordered = keys[:, order]
    differs = np.ones(ordered.shape[1], bool)
    differs[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    group = np.empty(len(order), np.intp)
    group[order] = np.cumsum(differs) - 1
    return order[differs], group
