"""What the spelling of an unknown word costs: a model of the characters of the words that are known.

A model that says `<unk>` has told that a word is unknown, and not which one it is. That is told by its spelling:

    P(word | before) = P(<unk> | before) P(spelling)

so that a vocabulary gains nothing by leaving words out (Brown et al. 1992, An Estimate of an Upper Bound for the
Entropy of English, spell unknown words so). The spelling model is an n-gram model of characters in which each order is
interpolated with the one below, by Witten and Bell (1991) as Chen and Goodman (1999) write it:

    P(c | h) = (count(h c) + T(h) P(c | h')) / (count(h) + T(h))

T(h) is how many different characters follow h, and h' is h without its first character. A context that was never seen
says nothing: P(c | h) = P(c | h'). Below the characters alone lie all characters of Unicode and the end of a word,
equally likely, so that any word can be spelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnncli.text.tokenize import END, UNKNOWN

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

ORDER = 5  # of the longest n-grams: four characters of context, of which the first may be the beginning of the word
WORD_END = 0x110000  # the code of the end of a word, and so of the beginning of the next: above all of Unicode
OUTCOMES = 0x110000 - 0x800 + 1  # every Unicode scalar value, and the end
LEARNT = 1 << 20  # characters, ends counted, that are learnt from: about 120,000 words of English
LEARNING = 75  # bytes a character, while it is learnt from
CHUNK = 1 << 12  # words that are spelled at a time
SPELLING = 6_000_000  # bytes, for a chunk of them


@dataclass(frozen=True, eq=False)
class _Order:
    """The n-grams of one length; a context is the id of the n-gram one shorter that it is.

    keys: (n-grams,), sorted: context * symbols + symbol; the index of a key is the id of its n-gram.
    counts: (n-grams,). seen, followers: (contexts,), how often each context was followed, and by how many symbols.
    """

    keys: Codes
    counts: Codes
    seen: Codes
    followers: Codes


class Spelling:
    """The probability of a word as a string of characters, learnt from the words of a vocabulary, each of them once.

    words: of the vocabulary, in the order of their ids; `<end>` and `<unk>` are no words to learn from. The first of
    them are learnt from, up to `LEARNT` characters: the most frequent ones.

    A proper distribution: P sums to 1 over all strings, those of known words among them, so that no word is spelled
    too cheaply. Raises ValueError where there is no word to learn from.
    """

    def __init__(self, words: Sequence[str]) -> None:
        known = [word for word in words if word not in (END, UNKNOWN)]
        if not known:
            raise ValueError(f"no word beside {END} and {UNKNOWN} to learn spelling from")
        ends = np.cumsum(_lengths(known) + 1)
        codes, place = _characters(known[: max(1, int(np.searchsorted(ends, LEARNT, side="right")))])
        self._alphabet: Codes = np.unique(codes)
        self._orders: list[_Order] = []
        symbols, context, contexts = _find(self._alphabet, codes), np.zeros_like(codes), 1
        for length in range(ORDER):
            rows, grams = self._grams(symbols, context)
            keys, counts = np.unique(grams, return_counts=True)
            of_key = keys // self._symbols
            seen = np.bincount(of_key, counts, contexts).astype(np.int64)
            self._orders.append(_Order(keys, counts, seen, np.bincount(of_key, minlength=contexts)))
            context, contexts = _context(_find(keys, grams), rows, place, length), len(keys)

    def nats(self, words: Sequence[str]) -> Numbers:
        """-ln P(spelling) of each word, (n,) float64: of any string, the empty one too."""
        chunks = (words[start : start + CHUNK] for start in range(0, len(words), CHUNK))
        return np.concatenate([np.empty(0), *map(self._nats, chunks)])

    def _nats(self, words: Sequence[str]) -> Numbers:
        codes, place = _characters(words)
        symbols, context = _find(self._alphabet, codes), np.zeros_like(codes)
        p = np.full(len(codes), 1 / OUTCOMES)
        for length, order in enumerate(self._orders):
            rows, grams = self._grams(symbols, context)
            ids, before = _find(order.keys, grams), context[rows]
            count, followers = np.where(ids < 0, 0, order.counts[ids]), order.followers[before]
            p[rows] = (count + followers * p[rows]) / (order.seen[before] + followers)
            context = _context(ids, rows, place, length)
        sums: Numbers = np.add.reduceat(-np.log(p), np.flatnonzero(place == 0))
        return sums

    @property
    def _symbols(self) -> int:
        """How many symbols there are: those of the alphabet, and one for all that are not in it."""
        return len(self._alphabet) + 1

    def _grams(self, symbols: Codes, context: Codes) -> tuple[npt.NDArray[np.intp], Codes]:
        """The positions whose context was seen, and the key of the n-gram that ends at each."""
        rows = np.flatnonzero(context >= 0)
        # An unknown symbol is -1, which makes the last key of the context before: that no n-gram has.
        return rows, context[rows] * self._symbols + symbols[rows]


def held(words: Sequence[str]) -> int:
    """About how many bytes a model of these words takes while it is made, or spells others."""
    return LEARNING * min(sum(map(len, words)) + len(words), LEARNT) + SPELLING


def _lengths(words: Sequence[str]) -> Codes:
    return np.fromiter(map(len, words), np.int64, len(words))


def _characters(words: Sequence[str]) -> tuple[Codes, Codes]:
    """The code points of some words, `WORD_END` behind each word, and how many of its characters stand before each."""
    lengths = _lengths(words) + 1
    ends = np.cumsum(lengths)
    codes: Codes = np.full(ends[-1], WORD_END, np.int64)
    inside = np.ones(len(codes), bool)
    inside[ends - 1] = False
    codes[inside] = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), "<u4")
    return codes, np.arange(len(codes)) - np.repeat(ends - lengths, lengths)


def _find(keys: Codes, wanted: Codes) -> Codes:
    """The index of each in the sorted keys, -1 where it is none of them."""
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, at, -1)


def _context(ids: Codes, rows: npt.NDArray[np.intp], place: Codes, length: int) -> Codes:
    """The context of each position that is one longer than `length`: the n-gram that ends before it.

    ids: of the n-grams of `length` + 1 characters that end at `rows`. -1 where it was never seen, or would begin before
    the word. The end of a word is the beginning of the next one, and the last one's that of the first.
    """
    grams = np.full(len(place), -1)
    grams[rows] = ids
    context = np.roll(grams, 1)
    context[place < length] = -1
    return context
