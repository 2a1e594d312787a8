import random
import sys
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.text import word_index
from rnncli.text.tokenize_arrays import Tokens
from rnncli.text.word_index import Numbering

LENGTHS = range(1, 41)  # bytes: in both tables and in the dictionary, up to each edge and beyond
ALPHABET = st.sampled_from("ab\x01é漢\U0001f600")


def tokens_of(words, between=" "):
    """Words as `cut` returns them."""
    encoded = [word.encode() for word in words]
    lengths = np.array([len(word) for word in encoded], np.intp)
    starts = np.cumsum(lengths + len(between)) - (lengths + len(between))
    empty = np.empty(0, np.intp)
    return Tokens(between.join(words).encode(), starts, starts + lengths, empty, empty, 0)


def assert_numbers(words, pieces):
    """The words, numbered in this many pieces, get the same numbers as in a dictionary, up to a permutation."""
    table, numbers = Numbering(), []
    size = -(-len(words) // pieces)
    for at in range(0, len(words), size):
        numbers += table.number(tokens_of(words[at : at + size])).tolist()
    assert [table.words[number] for number in numbers] == words
    assert len(table.words) == len(set(table.words)) == len(set(words))
    assert table.number(tokens_of(words)).tolist() == numbers


def near_collisions():
    """Words of every length that differ in one byte, at each position, and their prefixes."""
    words = []
    for length in LENGTHS:
        words.append("a" * length)
        words += ["a" * i + other + "a" * (length - i - 1) for i in range(length) for other in "b\x01\x7f"]
        words += ["é" * (length // 2) + "a" * (length % 2)]
    return words


def test_words_of_every_length_that_differ_in_one_byte():
    words = near_collisions()
    random.Random(1).shuffle(words)
    for pieces in (1, 7):
        assert_numbers(words + words[::3], pieces)


@given(st.lists(st.text(ALPHABET, min_size=1, max_size=24), min_size=1, max_size=60), st.integers(1, 4))
def test_a_dictionary_gives_the_same(words, pieces):
    assert_numbers(words, pieces)


@given(
    st.lists(st.text(ALPHABET, min_size=1, max_size=12), min_size=1),
    st.integers(0, 9),
    st.sampled_from(["", " ", "12345678"]),
)
def test_the_position_of_a_word_does_not_matter(words, offset, between):
    """Words are read as numbers of eight bytes: at any offset in these, and at the very end of the text."""
    table = Numbering()
    tokens = tokens_of(words, between)
    shifted = Tokens(
        b"x" * offset + tokens.data, tokens.starts + offset, tokens.ends + offset, *[tokens.through] * 2, 0
    )
    assert [table.words[number] for number in table.number(shifted)] == words
    assert table.number(tokens).tolist() == table.number(shifted).tolist()


def test_tables_grow():
    words = [f"{i:x}{'é' * (i % 5)}" for i in range(60_000)]
    with mock.patch.object(word_index, "FIRST_BITS", 2):
        assert_numbers(words + words[::-1], 50)
        assert_numbers(words, 1)  # the table grows by several sizes in one call


@pytest.mark.parametrize(
    "multipliers", [(0, 0), (1, 1), (1 << 63, 1 << 63), (1 << 56, 0)], ids=["none", "first", "last", "low byte"]
)
def test_words_that_want_the_same_slot(multipliers):
    with (
        mock.patch.object(word_index, "MULTIPLIERS", np.array(multipliers, np.uint64)),
        mock.patch.object(word_index, "FIRST_BITS", 1),
    ):
        words = near_collisions()[:800]
        assert_numbers(words + words, 9)
        assert_numbers(words + words, 1)


@pytest.mark.parametrize("multiplier", [0, 0x9E3779B97F4A7C15])
def test_threads(multiplier):
    """Threads number mostly the same words, without waiting for each other between two pieces."""
    rng = random.Random(2)
    own = [f"{i:o}{'x' * rng.randrange(18)}" for i in range(3000 if multiplier else 300)]
    pieces = [rng.sample(own, len(own) // 3) for _ in range(24)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with (
            mock.patch.object(word_index, "MULTIPLIERS", np.array([multiplier] * 2, np.uint64)),
            mock.patch.object(word_index, "FIRST_BITS", 2),
            ThreadPoolExecutor(6) as executor,
        ):
            table = Numbering()
            numbered = list(executor.map(lambda words: table.number(tokens_of(words)).tolist(), pieces))
    finally:
        sys.setswitchinterval(before)
    assert len(set(table.words)) == len(table.words) == len({word for words in pieces for word in words})
    for words, numbers in zip(pieces, numbered, strict=True):
        assert [table.words[number] for number in numbers] == words


def test_no_words():
    assert Numbering().number(tokens_of([])).tolist() == []
