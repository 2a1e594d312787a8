"""Spelling model: the probability of an unknown word as a string of characters, learned from the known words.

A language model that predicts `<unk>` predicts that a word is unknown, but not which word it is. The spelling adds
that:

    P(word | before) = P(<unk> | before) P(spelling)

so that leaving words out of the vocabulary gains nothing (Brown et al. 1992, An Estimate of an Upper Bound for the
Entropy of English, spell unknown words in this way). The spelling model is a character n-gram model in which each
order is interpolated with the next lower one, by Witten and Bell (1991) in the notation of Chen and Goodman (1999):

    P(c | h) = (count(h c) + T(h) P(c | h')) / (count(h) + T(h))

T(h) is the number of different characters that follow h, and h' is h without its first character. For an unseen
context, P(c | h) = P(c | h'). The lowest order, below the unigrams, is uniform over all characters of Unicode and the
end of a word, so that any word has a positive probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnncli.text.tokenize import END, UNKNOWN

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ORDER = 5  # of the longest n-grams: four characters of context, of which the first may be the beginning of the word
WORD_END = 0x110000  # code of the end of a word, and so of the beginning of the next: above all of Unicode
OUTCOMES = 0x110000 - 0x800 + 1  # every Unicode scalar value, and the end of a word
LEARNT = 1 << 20  # characters, word ends included, in the training set: about 120,000 words of English
LEARNING = 75  # peak bytes per character in training
CHUNK = 1 << 12  # words that are scored at a time
SPELLING = 6_000_000  # peak bytes to score a chunk


@dataclass(frozen=True, eq=False)
class _Order:
    """The n-grams of one length. A context is an n-gram shorter by one, and identified by its id.

    keys: (n-grams,), sorted: context * symbols + symbol; the index of a key is the id of its n-gram.
    counts: (n-grams,), occurrences of each. seen, followers: (contexts,), number of symbols after each context, and of
    distinct ones.
    """

    keys: Integers
    counts: Integers
    seen: Integers
    followers: Integers


class Spelling:
    """The probability of a word as a string of characters, learned from the words of a vocabulary, each of them once.

    words: of the vocabulary, in the order of their ids; `<end>` and `<unk>` are ignored. The model is trained on the
    first, most frequent ones, up to `LEARNT` characters.

    A proper distribution: P sums to 1 over all strings, known words included, so no word gets more than its share.
    Raises ValueError without a word to learn from.
    """

    def __init__(self, words: Sequence[str]) -> None:
        known = [word for word in words if word not in (END, UNKNOWN)]
        if not known:
            raise ValueError(f"no word beside {END} and {UNKNOWN} to learn spelling from")
        ends = np.cumsum(_lengths(known) + 1)
        codes, place = _characters(known[: max(1, int(np.searchsorted(ends, LEARNT, side="right")))])
        self._alphabet: Integers = np.unique(codes)
        self._orders: list[_Order] = []
        symbols, context, contexts = _find(self._alphabet, codes), np.zeros_like(codes), 1
        for length in range(ORDER):
            rows, grams = self._grams(symbols, context)
            keys, counts = np.unique(grams, return_counts=True)
            of_key = keys // self._symbols
            seen = np.bincount(of_key, counts, contexts).astype(np.int64)
            self._orders.append(_Order(keys, counts, seen, np.bincount(of_key, minlength=contexts)))
            context, contexts = _context(_find(keys, grams), rows, place, length), len(keys)

    def nats(self, words: Sequence[str]) -> Floats:
        """-ln P(spelling) of each word, (n,) float64; a word may be any string, even the empty one."""
        chunks = (words[start : start + CHUNK] for start in range(0, len(words), CHUNK))
        return np.concatenate([np.empty(0), *map(self._nats, chunks)])

    def _nats(self, words: Sequence[str]) -> Floats:
        codes, place = _characters(words)
        symbols, context = _find(self._alphabet, codes), np.zeros_like(codes)
        p = np.full(len(codes), 1 / OUTCOMES)
        for length, order in enumerate(self._orders):
            rows, grams = self._grams(symbols, context)
            ids, before = _find(order.keys, grams), context[rows]
            count, followers = np.where(ids < 0, 0, order.counts[ids]), order.followers[before]
            p[rows] = (count + followers * p[rows]) / (order.seen[before] + followers)
            context = _context(ids, rows, place, length)
        sums: Floats = np.add.reduceat(-np.log(p), np.flatnonzero(place == 0))
        return sums

    @property
    def _symbols(self) -> int:
        """Number of symbols: those of the alphabet, and one for all characters outside it."""
        return len(self._alphabet) + 1

    def _grams(self, symbols: Integers, context: Integers) -> tuple[npt.NDArray[np.intp], Integers]:
        """The positions with a known context, and the key of the n-gram that ends at each."""
        rows = np.flatnonzero(context >= 0)
        # An unknown symbol is -1, which gives the last key of the previous context: no n-gram has it.
        return rows, context[rows] * self._symbols + symbols[rows]


def peak_bytes(words: Sequence[str]) -> int:
    """Approximate peak memory in bytes to train a model on these words, or to score others with it."""
    return LEARNING * min(sum(map(len, words)) + len(words), LEARNT) + SPELLING


def _lengths(words: Sequence[str]) -> Integers:
    return np.fromiter(map(len, words), np.int64, len(words))


def _characters(words: Sequence[str]) -> tuple[Integers, Integers]:
    """The code points of some words, each word followed by `WORD_END`, and the index of each within its word."""
    lengths = _lengths(words) + 1
    ends = np.cumsum(lengths)
    codes: Integers = np.full(ends[-1], WORD_END, np.int64)
    inside = np.ones(len(codes), bool)
    inside[ends - 1] = False
    codes[inside] = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), "<u4")
    return codes, np.arange(len(codes)) - np.repeat(ends - lengths, lengths)


def _find(keys: Integers, wanted: Integers) -> Integers:
    """The index of each wanted key in the sorted keys, -1 if it is not among them."""
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.where(keys[at] == wanted, at, -1)


def _context(ids: Integers, rows: npt.NDArray[np.intp], place: Integers, length: int) -> Integers:
    """The context of `length` + 1 characters before each position: the id of the n-gram that ends before it.

    ids: of the n-grams of `length` + 1 characters that end at `rows`. The context is -1 if it was never seen or would
    begin before the word. The end of a word serves as the beginning of the next, the last one as that of the first.
    """
    grams = np.full(len(place), -1)
    grams[rows] = ids
    context = np.roll(grams, 1)
    context[place < length] = -1
    return context
